"""Fields that a person may own: they are set only where Salesforce has nothing.

What a record holds is asked for just before it is written, in batches. So what somebody has written meanwhile
stays, and a field that can be set but once (the Campaign of a CampaignMember) is left out of what is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from stream.records import Write
from stream.salesforce import soql
from stream.salesforce.lookup import QUERIES_PER_CALL, batches
from stream.salesforce.port import Salesforce
from stream.salesforce.rows import Row

Held = dict[str, dict[str, Any]]
"""By external ID, the fields of the records that are there."""


async def look_up(port: Salesforce, rows: Sequence[Row], concurrency: int) -> Held:
    """What Salesforce holds of these rows, of one object. Raises RequestError."""
    held: Held = {}
    turns = asyncio.Semaphore(concurrency)
    field = rows[0].write.external_id_field

    async def ask(queries: Sequence[str]) -> None:
        async with turns:
            answers = await port.query(queries)
        for records in answers:
            held.update((record[field], record) for record in records)

    asked = [ask(batch) for batch in batches(_queries(rows), QUERIES_PER_CALL)]
    for outcome in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
    return held


def _queries(rows: Sequence[Row]) -> Iterable[str]:
    first = rows[0].write
    columns = sorted({_column(row.write, name) for row in rows for name in row.write.if_empty})
    names = ", ".join([first.external_id_field, *columns])
    head = f"SELECT {names} FROM {first.object}"  # noqa: S608  names of fields
    return soql.selects(head, first.external_id_field, (row.write.external_id for row in rows))


def spare(row: Row, held: Held) -> None:
    """Takes out of the write what Salesforce has already."""
    write = row.write
    record = held.get(write.external_id)
    if record is None:
        return
    taken = {name for name in write.if_empty if record.get(_column(write, name)) not in (None, "")}
    fields = {name: value for name, value in write.fields.items() if name not in taken}
    parents = {name: parent for name, parent in write.parents.items() if name not in taken}
    row.write = msgspec.structs.replace(write, fields=fields, parents=parents)


def _column(write: Write, name: str) -> str:
    """The field that holds a parent's ID: `Account` → `AccountId`, `Plan__r` → `Plan__c`."""
    if name not in write.parents:
        return name
    return f"{name.removesuffix('__r')}__c" if name.endswith("__r") else f"{name}Id"
