"""Closing the open Opportunities of an Account: those that people made, of the types and stages that a write names.

It is done before the Account itself is written, so after a crash it is done again; what is closed is closed no
second time, and what somebody opened later is left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from stream.records import Closing
from stream.salesforce import soql
from stream.salesforce.lookup import QUERIES_PER_CALL, batches
from stream.salesforce.planner import CALL_ROWS
from stream.salesforce.port import RowAnswer, Salesforce
from stream.salesforce.rows import Row
from stream.settings import STRIPE_ID_FIELD

OPPORTUNITY = "Opportunity"


class Closed(NamedTuple):
    """What came of one Opportunity; `account` is the external ID of the write that wanted it closed."""

    id: str
    account: str
    answer: RowAnswer


_FIELDS = ("Id", "Type", "StageName", "IsClosed", "CreatedDate")


async def close(port: Salesforce, rows: Sequence[Row], concurrency: int) -> list[Closed]:
    """Closes what these Account writes want closed; Salesforce's answer for each. Raises RequestError."""
    wanted = {row.write.external_id: row.write.closing for row in rows if row.write.closing}
    field = f"Account.{rows[0].write.external_id_field}"
    turns = asyncio.Semaphore(concurrency)
    meant: dict[str, str] = {}

    async def ask(queries: Sequence[str]) -> None:
        async with turns:
            answers = await port.query(queries)
        for records in answers:
            meant.update(_meant(records, field, wanted))

    await _all(ask(batch) for batch in batches(_queries(field, wanted), QUERIES_PER_CALL))
    done: list[Closed] = []

    async def send(batch: Sequence[str]) -> None:
        async with turns:
            answers = await port.update(OPPORTUNITY, {id_: wanted[meant[id_]].fields for id_ in batch})
        done.extend(Closed(id_, meant[id_], answer) for id_, answer in zip(batch, answers, strict=True))

    await _all(send(batch) for batch in batches(meant, CALL_ROWS))
    return done


def _queries(field: str, accounts: Iterable[str]) -> Iterable[str]:
    head = f"SELECT {', '.join(_FIELDS)}, {field} FROM {OPPORTUNITY}"  # noqa: S608  names of fields
    return soql.selects(head, field, accounts, f"AND {STRIPE_ID_FIELD} = null")


def _meant(
    records: Iterable[Mapping[str, Any]], field: str, wanted: Mapping[str, Closing]
) -> Iterable[tuple[str, str]]:
    """The IDs of those that are to be closed, each with its Account's external ID."""
    parent, _, key = field.partition(".")
    for record in records:
        account = (record.get(parent) or {}).get(key) or ""
        closing = wanted.get(account)
        if closing is not None and _is_meant(record, closing):
            yield record["Id"], account


def _is_meant(record: Mapping[str, Any], closing: Closing) -> bool:
    """Whether an Opportunity is open, of the kinds that are named, and was there in time."""
    created = datetime.fromisoformat(record["CreatedDate"])
    return (
        not record["IsClosed"]
        and record["Type"] in closing.types
        and (not closing.stages or record["StageName"] in closing.stages)
        and created < datetime.fromtimestamp(closing.before, UTC)
    )


async def _all(calls: Iterable[Any]) -> None:
    """Waits for every call, then raises the first error: none is left running behind the caller's back."""
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
