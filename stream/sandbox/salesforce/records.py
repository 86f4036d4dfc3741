"""One record at a time: `/sobjects/{object}/…` ("sObject Rows", "sObject Rows by External ID")."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stream.sandbox.salesforce import values
from stream.sandbox.salesforce.dml import Saved
from stream.sandbox.salesforce.errors import ApiError, not_found
from stream.sandbox.salesforce.identifiers import normal
from stream.sandbox.salesforce.resources import Answer, Call, Work, route
from stream.sandbox.salesforce.schema import Entity, Field
from stream.sandbox.salesforce.store import Row


def shown(entity: Entity, row: Row, base: str, names: Iterable[str] | None = None) -> dict[str, Any]:
    """A record as REST shows it: all fields, or only the named ones. Raises ApiError for an unknown name."""
    fields: list[Field] = []
    for name in names if names is not None else entity.fields:
        if (field := entity.field(name)) is None:
            raise ApiError(400, "INVALID_FIELD", f"No such column '{name}' on entity '{entity.name}'")
        fields.append(field)
    attributes = {"type": entity.name, "url": f"{base}/sobjects/{entity.name}/{row['Id']}"}
    return {"attributes": attributes} | {field.name: row.get(field.name) for field in fields}


def saved(outcome: Saved, *, told: bool = False) -> dict[str, Any]:
    """The result of a row that went through; `told` adds whether it was created."""
    created = {"created": outcome.created} if told else {}
    return {"id": outcome.identifier, "success": True, "errors": []} | created


def external_key(entity: Entity, name: str) -> Field:
    """A field by which records may be upserted. Raises ApiError."""
    field = entity.field(name)
    if field is None or not (field.external_id or field.id_lookup):
        raise not_found(f"Provided external ID field does not exist or is not accessible: {name}")
    return field


def _fields(call: Call) -> list[str] | None:
    told = call.query.get("fields")
    return [name.strip() for name in told.split(",")] if told else None


def _get(work: Work, call: Call) -> Answer:
    entity = work.entity(call.names["object"])
    identifier = normal(call.names["id"])
    row = work.org.store.get(entity.name, identifier) if identifier else None
    if row is None:
        if identifier and work.org.store.binned(entity.name, identifier):
            raise ApiError(404, "ENTITY_IS_DELETED", "entity is deleted")
        raise not_found("Provided external ID field does not exist or is not accessible: " + call.names["id"])
    return Answer(body=shown(entity, row, call.base, _fields(call)))


def _create(work: Work, call: Call) -> Answer:
    entity = work.entity(call.names["object"])
    return Answer(201, saved(work.dml.insert(entity, call.object_body())))


def _update(work: Work, call: Call) -> Answer:
    entity = work.entity(call.names["object"])
    body = call.object_body()
    _existing(work, entity, call)
    work.dml.update(entity, call.names["id"], body)
    return Answer(204)


def _delete(work: Work, call: Call) -> Answer:
    entity = work.entity(call.names["object"])
    _existing(work, entity, call)
    work.dml.delete(entity, call.names["id"])
    return Answer(204)


def _existing(work: Work, entity: Entity, call: Call) -> None:
    identifier = normal(call.names["id"])
    if identifier and work.org.store.binned(entity.name, identifier):
        raise ApiError(404, "ENTITY_IS_DELETED", "entity is deleted")
    if identifier is None or work.org.store.get(entity.name, identifier) is None:
        raise not_found()


def _by_external_id(work: Work, call: Call) -> tuple[Entity, Field, tuple[str, ...]]:
    entity = work.entity(call.names["object"])
    key = external_key(entity, call.names["field"])
    value = values.read(key, call.names["value"], work.org.schema, "csv")
    return entity, key, tuple(work.org.store.find(entity.name, key.name, value))


def _several(entity: Entity, found: tuple[str, ...], call: Call) -> Answer:
    """300: the external ID is on several records, which are listed."""
    return Answer(300, [f"{call.base}/sobjects/{entity.name}/{identifier}" for identifier in found])


def _get_by_external_id(work: Work, call: Call) -> Answer:
    entity, _, found = _by_external_id(work, call)
    if len(found) > 1:
        return _several(entity, found, call)
    row = work.org.store.get(entity.name, found[0]) if found else None
    if row is None:
        raise not_found()
    return Answer(body=shown(entity, row, call.base, _fields(call)))


def _upsert(work: Work, call: Call) -> Answer:
    entity, key, found = _by_external_id(work, call)
    if len(found) > 1:
        return _several(entity, found, call)
    body = call.object_body()
    if any(name.casefold() == key.name.casefold() for name in body):
        raise ApiError(
            400, "INVALID_FIELD", f"The {key.name} field should not be specified in the sobject data."
        )
    outcome = work.dml.upsert(entity, key, call.names["value"], body, update_only=call.flag("updateOnly"))
    if outcome.created:
        return Answer(201, saved(outcome, told=True))
    # "sObject Rows by External ID": from v46 an update has a body, before it has none.
    return Answer(200, saved(outcome, told=True)) if call.version >= 46 else Answer(204)


def _delete_by_external_id(work: Work, call: Call) -> Answer:
    entity, _, found = _by_external_id(work, call)
    if len(found) > 1:
        return _several(entity, found, call)
    if not found:
        raise not_found()
    work.dml.delete(entity, found[0])
    return Answer(204)


ROUTES = (
    route("POST", "/sobjects/{object}", "create", _create),
    route("GET", "/sobjects/{object}/{id}", "get", _get),
    route("PATCH", "/sobjects/{object}/{id}", "update", _update),
    route("DELETE", "/sobjects/{object}/{id}", "delete", _delete),
    route("GET", "/sobjects/{object}/{field}/{value}", "get", _get_by_external_id),
    route("PATCH", "/sobjects/{object}/{field}/{value}", "upsert", _upsert),
    route("DELETE", "/sobjects/{object}/{field}/{value}", "delete", _delete_by_external_id),
)
