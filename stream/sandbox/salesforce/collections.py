"""Up to 200 records in one call: `/composite/sobjects` ("sObject Collections").

A well-formed request is answered with 200 even when every row is refused; results keep the rows' order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from stream.sandbox.salesforce.dml import Outcome, Saved
from stream.sandbox.salesforce.errors import ApiError, RowError
from stream.sandbox.salesforce.identifiers import normal
from stream.sandbox.salesforce.keys import duplicate, duplicates, key_of, refuse
from stream.sandbox.salesforce.records import external_key, saved, shown
from stream.sandbox.salesforce.resources import Answer, Call, Work, route
from stream.sandbox.salesforce.schema import Entity

MAX_ROWS = 200
MAX_CHUNKS = 10

Write = Callable[[], Saved]


def _results(outcomes: Sequence[Outcome], *, told: bool = False) -> Answer:
    return Answer(
        body=[
            {"success": False, "errors": [outcome.as_row()]}
            if isinstance(outcome, RowError)
            else saved(outcome, told=told)
            for outcome in outcomes
        ]
    )


def _records(call: Call) -> list[dict[str, Any]]:
    records = call.object_body().get("records")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ApiError(400, "JSON_PARSER_ERROR", "records must be a list of objects")
    _check_size(len(records))
    return records


def _check_size(rows: int) -> None:
    if rows > MAX_ROWS:
        raise ApiError(
            400,
            "EXCEEDED_ID_LIMIT",
            f"record limit reached. cannot submit more than {MAX_ROWS} records into this call",
        )


def _type(record: Mapping[str, Any]) -> str:
    attributes = record.get("attributes")
    kind = attributes.get("type") if isinstance(attributes, dict) else None
    if not isinstance(kind, str):
        raise ApiError(400, "INVALID_INPUT", "each record needs attributes with its type")
    return kind


def _entities(work: Work, records: Sequence[Mapping[str, Any]]) -> list[Entity | RowError]:
    """The object of each record. Raises ApiError for too many changes of object from row to row."""
    kinds = [_type(record) for record in records]
    if sum(1 for _ in groupby(kinds)) > MAX_CHUNKS:
        raise ApiError(
            400,
            "LIMIT_EXCEEDED",
            f"Cannot have more than {MAX_CHUNKS} chunks in a single operation. Please rearrange the data to "
            "reduce chunking.",
        )
    return [
        work.org.schema.entity(kind) or RowError("INVALID_TYPE", f"sObject type '{kind}' is not supported.")
        for kind in kinds
    ]


def _all_or_none(call: Call) -> bool:
    return call.object_body().get("allOrNone") is True


def _insert(work: Work, call: Call) -> Answer:
    records = _records(call)
    writes: list[Write] = []
    for record, entity in zip(records, _entities(work, records), strict=True):
        if isinstance(entity, RowError):
            writes.append(partial(refuse, entity))
        else:
            writes.append(partial(work.dml.insert, entity, record))
    return _results(work.dml.each(writes, all_or_none=_all_or_none(call)))


def _update(work: Work, call: Call) -> Answer:
    records = _records(call)
    writes: list[Write] = []
    for record, entity in zip(records, _entities(work, records), strict=True):
        identifier = record.get("id") or record.get("Id")
        if isinstance(entity, RowError):
            writes.append(partial(refuse, entity))
        elif not isinstance(identifier, str):
            writes.append(partial(refuse, RowError("MISSING_ARGUMENT", "Id not specified in an update call")))
        else:
            writes.append(partial(work.dml.update, entity, identifier, record))
    return _results(work.dml.each(writes, all_or_none=_all_or_none(call)))


def _upsert(work: Work, call: Call) -> Answer:
    records = _records(call)
    entity = work.entity(call.names["object"])
    key = external_key(entity, call.names["field"])
    given = [{name.casefold(): value for name, value in record.items()} for record in records]
    held = [record.get(key.name.casefold()) for record in given]
    keys = [key_of(work.org.schema, key, value) for value in held]
    twice = duplicates(keys)
    writes: list[Write] = []
    for record, value, same in zip(records, held, keys, strict=True):
        if _type(record).casefold() != entity.name.casefold():
            error = RowError("INVALID_TYPE", f"record is no {entity.name}, as the address says")
            writes.append(partial(refuse, error))
        elif same in twice:
            writes.append(partial(refuse, duplicate(key, value)))
        elif key.name != "Id" and any(name.casefold() == "id" for name in record):
            error = RowError("INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an upsert call", "Id")
            writes.append(partial(refuse, error))
        else:
            writes.append(partial(work.dml.upsert, entity, key, value, record))
    return _results(work.dml.each(writes, all_or_none=_all_or_none(call)), told=True)


def _delete(work: Work, call: Call) -> Answer:
    identifiers = [each for each in call.query.get("ids", "").split(",") if each]
    _check_size(len(identifiers))
    writes: list[Write] = []
    for identifier in identifiers:
        entity = work.org.schema.of_id(identifier)
        if entity is None:
            writes.append(partial(refuse, RowError("MALFORMED_ID", f"malformed id {identifier}", "Id")))
        else:
            writes.append(partial(work.dml.delete, entity, identifier))
    return _results(work.dml.each(writes, all_or_none=call.flag("allOrNone")))


def _get(work: Work, call: Call) -> Answer:
    told = call.object_body() if call.method == "POST" else {}
    entity = work.entity(call.names["object"])
    wanted = told.get("ids") or call.query.get("ids", "").split(",")
    fields = told.get("fields") or call.query.get("fields", "").split(",")
    for each in (wanted, fields):
        if not isinstance(each, list) or not all(isinstance(name, str) and name for name in each):
            raise ApiError(400, "INVALID_INPUT", "ids and fields must be given")
    _check_size(len(wanted))
    rows = (work.org.store.get(entity.name, normal(each) or "") for each in wanted)
    return Answer(
        body=[None if row is None else shown(entity, row, call.base, ["Id", *fields]) for row in rows]
    )


ROUTES = (
    route("POST", "/composite/sobjects", "collections-insert", _insert),
    route("PATCH", "/composite/sobjects", "collections-update", _update),
    route("DELETE", "/composite/sobjects", "collections-delete", _delete),
    route("GET", "/composite/sobjects/{object}", "collections-get", _get),
    route("POST", "/composite/sobjects/{object}", "collections-get", _get),
    route("PATCH", "/composite/sobjects/{object}/{field}", "collections-upsert", _upsert),
)
