"""Who gets a new record: the owner of its Account, or a substitute when that user is inactive.

Salesforce gives a record without an owner to whoever makes it, which is the integration user, and takes no inactive
user. So the owners of the Accounts are asked for, in the same call as which of the records are there already: those
keep the owner they have, since a person may have handed them on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from stream.records import RowError, Write
from stream.salesforce import soql
from stream.salesforce.lookup import QUERIES_PER_CALL, batches
from stream.salesforce.port import Salesforce
from stream.salesforce.rows import Row

OWNER_FIELD = "OwnerId"
OWNER_INACTIVE = "owner_inactive"


class User(msgspec.Struct, frozen=True, gc=False):
    """The owner of an Account."""

    id: str
    active: bool


class Found(msgspec.Struct):
    """What Salesforce told: owners by (object, external ID) of the parent, and the external IDs of records that are
    there."""

    owners: dict[tuple[str, str], User] = {}
    there: set[str] = set()


async def look_up(port: Salesforce, rows: Sequence[Row], concurrency: int) -> Found:
    """What is to be known to give these rows, of one object, their owners. Raises RequestError."""
    found = Found()
    turns = asyncio.Semaphore(concurrency)

    async def ask(batch: Sequence[tuple[str, str, str]]) -> None:
        async with turns:
            answers = await port.query([query for _, _, query in batch])
        for (object_, field, _), records in zip(batch, answers, strict=True):
            _note(found, object_, field, records)

    asked = [ask(batch) for batch in batches(_queries(rows), QUERIES_PER_CALL)]
    for outcome in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
    return found


def _queries(rows: Sequence[Row]) -> Iterable[tuple[str, str, str]]:
    """Object, external ID field and SOQL; an empty object is for the rows themselves."""
    parents: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        parent = row.write.parents[_parent(row.write)]
        parents.setdefault((parent.object, parent.field), []).append(parent.external_id)
    for (object_, field), ids in parents.items():
        head = f"SELECT {field}, {OWNER_FIELD}, Owner.IsActive FROM {object_}"  # noqa: S608  names of fields
        for query in soql.selects(head, field, ids):
            yield object_, field, query
    first = rows[0].write
    head = f"SELECT {first.external_id_field} FROM {first.object}"  # noqa: S608
    for query in soql.selects(head, first.external_id_field, (row.write.external_id for row in rows)):
        yield "", first.external_id_field, query


def _note(found: Found, object_: str, field: str, records: Iterable[Mapping[str, Any]]) -> None:
    for record in records:
        if not object_:
            found.there.add(record[field])
        elif id_ := record.get(OWNER_FIELD):
            # A queue owns no Account; who has no user behind is taken for active, and Salesforce has the last word.
            user = record.get("Owner") or {}
            found.owners[object_, record[field]] = User(id_, user.get("IsActive") is not False)


def assign(row: Row, found: Found) -> RowError | None:
    """Gives the row its owner, if it is new; why it cannot have one, if so."""
    write = row.write
    if write.owner is None or write.external_id in found.there:
        return None
    parent = write.parents[_parent(write)]
    user = found.owners.get((parent.object, parent.external_id))
    owner = user.id if user and user.active else write.owner.fallback
    if owner is None and user is not None:
        return RowError(
            OWNER_INACTIVE,
            f"User {user.id} owns {parent.object} {parent.external_id}, but is inactive, so they cannot get "
            f"{write.object} {write.external_id}. Give the {parent.object} another owner, or set "
            "FAILED_PAYMENTS_FALLBACK_OWNER, and send this one again.",
            (OWNER_FIELD,),
        )
    if owner is not None:
        row.write = msgspec.structs.replace(write, fields={**write.fields, OWNER_FIELD: owner})
    return None


def _parent(write: Write) -> str:
    assert write.owner is not None  # noqa: S101  only such rows are asked about
    return write.owner.parent
