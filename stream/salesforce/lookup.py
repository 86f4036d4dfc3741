"""Asking Salesforce for the records that stood for customers before us, and giving them their external ID."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TypeVar

from stream.records import RowError
from stream.salesforce.errors import Kind
from stream.salesforce.matching import (
    ACCOUNT,
    CONTACT,
    Adopt,
    Decision,
    Found,
    Query,
    Several,
    decide,
    note,
    queries,
)
from stream.salesforce.planner import CALL_ROWS
from stream.salesforce.port import RowAnswer, Salesforce
from stream.salesforce.rows import Row
from stream.settings import CUSTOMER_ID_FIELD

# Composite API: "up to 25 subrequests, of which up to five can be queries or collections".
QUERIES_PER_CALL = 5

_T = TypeVar("_T")


async def look_up(
    port: Salesforce, rows: Sequence[Row], several: Several, concurrency: int
) -> dict[str, Decision]:
    """What is to be done before each of these writes. Raises RequestError."""
    writes = [row.write for row in rows]
    found = Found()
    turns = asyncio.Semaphore(concurrency)

    async def ask(batch: Sequence[Query]) -> None:
        async with turns:
            answers = await port.query([query.soql for query in batch])
        for query, records in zip(batch, answers, strict=True):
            note(found, query, records)

    await _all(ask(batch) for batch in batches(queries(writes), QUERIES_PER_CALL))
    return decide(writes, found, several)


async def stamp(
    port: Salesforce, rows: Iterable[Row], decisions: dict[str, Decision], concurrency: int
) -> list[list[tuple[Row, RowAnswer]]]:
    """Gives the adopted records their external ID, Accounts before Contacts; the rows of each call, with
    Salesforce's answers. Raises RequestError."""
    adopted = [(row, decision) for row in rows if isinstance(decision := decisions.get(row.write.key), Adopt)]
    turns = asyncio.Semaphore(concurrency)
    done: list[list[tuple[Row, RowAnswer]]] = []

    async def send(object_: str, batch: Sequence[tuple[Row, Adopt]]) -> None:
        ids = {decision.id: row.write.external_id for row, decision in batch}
        async with turns:
            answers = await port.stamp(object_, CUSTOMER_ID_FIELD, ids)
        for (row, decision), answer in zip(batch, answers, strict=True):
            if answer.error is None:
                row.matched_by = decision.by
        done.append([(row, answer) for (row, _), answer in zip(batch, answers, strict=True)])

    for object_ in (ACCOUNT, CONTACT):
        mine = [pair for pair in adopted if pair[0].write.object == object_]
        await _all(send(object_, batch) for batch in batches(mine, CALL_ROWS))
    return done


def already_linked(answer: RowAnswer) -> bool:
    """A stamp refused because some record has that external ID by now: the upsert will find that one."""
    error: RowError | None = answer.error
    return error is not None and error.code == "DUPLICATE_VALUE" and answer.kind is Kind.ROW


async def _all(calls: Iterable[object]) -> None:
    """Waits for every call, then raises the first error: none is left running behind the caller's back."""
    for outcome in await asyncio.gather(*calls, return_exceptions=True):  # type: ignore[call-overload]
        if isinstance(outcome, BaseException):
            raise outcome


def batches(items: Iterable[_T], size: int) -> Iterable[list[_T]]:
    """The items in lists of at most `size`."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
