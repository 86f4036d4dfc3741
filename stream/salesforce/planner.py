"""From the rows of one object to the calls that write them. Pure.

Collections take 200 rows a call and answer at once. A Bulk API 2.0 job takes at least seven calls and its own
time, so it pays from some 1,400 rows; Salesforce's own line is 2,000 (App Limits Cheatsheet: "Bulk API and
Bulk API 2.0 Limits").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby

import msgspec

from stream.salesforce.rows import Row, fits_csv

CALL_ROWS = 200  # sObject Collections
CALL_BYTES = 4 * 1024 * 1024  # of a request; large enough for 200 rows of 20 KB
JOB_ROWS = 10_000  # what Salesforce makes one internal batch of, which runs in order
JOB_BYTES = 100 * 1000 * 1000  # "Upload Job Data": 150 MB once encoded as base64

ALONE = 4  # times suspected, after which a row goes in a call of its own


class Call(msgspec.Struct, frozen=True):
    """Rows that go to Salesforce together: of one object, upserted by one field, no record twice."""

    object: str
    field: str
    rows: tuple[Row, ...]


class Plan(msgspec.Struct, frozen=True):
    """Calls of one phase may go at once, since no customer is in two of them; phases go one after the other.
    The job, if there is one, shares no customer with any call. `later` rows wait for another window."""

    job: Call | None = None
    phases: tuple[tuple[Call, ...], ...] = ()
    later: tuple[Row, ...] = ()


def plan(rows: Iterable[Row], *, bulk_from: int, job_running: bool) -> Plan:
    """Plans rows of one object and external ID field, each record once.

    Rows that were in a call which Salesforce failed on go in ever smaller calls, so that the one it fails on
    is found. With a job of the object under way there is no second one: a backlog waits for it.
    """
    ordered = sorted(rows, key=lambda row: (row.write.account, row.write.external_id))
    bulk = [row for row in ordered if not row.suspected and fits_csv(row.write)]
    if len(bulk) < bulk_from:
        return Plan(phases=_phases(ordered))
    busy = {row.write.account for row in bulk}
    taken = set(map(id, bulk))
    others = [row for row in ordered if id(row) not in taken]
    phases = _phases(row for row in others if row.write.account not in busy)
    waiting = [row for row in others if row.write.account in busy]
    if job_running:
        return Plan(phases=phases, later=(*bulk, *waiting))
    job, rest = _job(bulk)
    return Plan(_call(job), phases, (*rest, *waiting))


def _job(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """One job's worth of whole customers, and the rest. A customer of more than a job is cut."""
    job: list[Row] = []
    size = 0
    for _, customer in _customers(rows):
        size += sum(row.size for row in customer)
        if job and (len(job) + len(customer) > JOB_ROWS or size > JOB_BYTES):
            break
        job += customer
    job = job[:JOB_ROWS]
    return job, list(rows[len(job) :])


def _phases(rows: Iterable[Row]) -> tuple[tuple[Call, ...], ...]:
    """Rows in calls. What does not fit with a customer's first call goes in a later phase."""
    phases = []
    left = list(rows)
    while left:
        calls, left = _phase(left)
        phases.append(calls)
    return tuple(phases)


def _phase(rows: Sequence[Row]) -> tuple[tuple[Call, ...], list[Row]]:
    """Of every customer the rows that one call can take; and what is left."""
    by_room: dict[int, list[list[Row]]] = defaultdict(list)
    left: list[Row] = []
    for _, customer in _customers(rows):
        room = _room(customer[0])
        mine: list[Row] = []
        size = 0
        for row in customer:
            size += row.size
            fits = len(mine) < room and (not mine or size <= CALL_BYTES)
            (mine if fits and _room(row) == room else left).append(row)
        by_room[room].append(mine)
    calls = [call for room, customers in by_room.items() for call in _packed(customers, room)]
    return tuple(calls), left


def _packed(customers: Iterable[Sequence[Row]], room: int) -> Iterable[Call]:
    """Whole customers in as few calls as they fit in, in order."""
    rows: list[Row] = []
    size = 0
    for customer in customers:
        weight = sum(row.size for row in customer)
        if rows and (len(rows) + len(customer) > room or size + weight > CALL_BYTES):
            yield _call(rows)
            rows, size = [], 0
        rows += customer
        size += weight
    if rows:
        yield _call(rows)


def _customers(rows: Sequence[Row]) -> Iterable[tuple[str, list[Row]]]:
    for account, customer in groupby(rows, key=lambda row: row.write.account):
        yield account, list(customer)


def _call(rows: Sequence[Row]) -> Call:
    return Call(rows[0].write.object, rows[0].write.external_id_field, tuple(rows))


def _room(row: Row) -> int:
    """Rows that may share a call with this one: 200, 50, 12, 3, 1 as suspicion grows."""
    return max(1, CALL_ROWS >> 2 * min(row.suspected, ALONE))
