"""Mistakes planted into the real code, one at a time, for the checker to find."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast
from unittest.mock import patch

from agents import projector
from agents.events import State
from agents.lanes import Lanes
from agents.memory import Memory
from agents.steps import Steps
from stream import topics
from stream.kafka.batches import Record
from stream.notify import marks
from stream.notify.outlet import Outlet
from stream.notify.port import Parcel
from stream.salesforce import window
from stream.salesforce.errors import RequestError
from stream.salesforce.outbox import Outbox
from stream.salesforce.rows import Row
from stream.salesforce.settle import Settled, records
from stream.salesforce.turn import Turn
from stream.salesforce.verdicts import Verdicts
from tables import customer_mapping, subscriptions, versions
from tables.versions import Telling, Versioned

BEGIN = Lanes.begin

Planted = AbstractContextManager[Any]


def ack_before_emit() -> Planted:
    """A chunk is acknowledged when its work begins, as Faust does with a stream that is not told otherwise."""

    async def early(
        self: Lanes, partition: int, work: Callable[..., Any], chunk: Any, done: Callable[[], Any]
    ) -> None:
        async def acked(partition: int, chunk: Any) -> None:
            done()
            await work(partition, chunk)

        await BEGIN(self, partition, acked, chunk, lambda: None)

    return patch.object(Lanes, "begin", early)


def ties_are_dropped() -> Planted:
    """`<=` instead of `<` between the seconds of two states: the second event of one second is taken for known."""

    def fold(state: Versioned[Any] | None, created: int, telling: Telling[Any]) -> Versioned[Any]:
        if state is not None and created == state.created:
            return state
        return versions.fold(state, created, telling)

    return _folding(fold)


@contextmanager
def _folding(fold: Callable[..., Versioned[Any]]) -> Iterator[None]:
    with patch.object(customer_mapping, "fold", fold), patch.object(subscriptions, "fold", fold):
        yield


def flush_skipped() -> Planted:
    """Outcomes are sent off and not waited for, and offsets are committed past them."""

    async def flush(self: Outbox) -> None:
        told, self._settled = self._settled, []
        if told:
            asyncio.get_running_loop().create_task(
                self._log.send(record for one in told for record in records(one, 0))
            )
        for one in told:
            self._book.resolve(one.row)

    return patch.object(Outbox, "flush", flush)


def deduplication_suppresses_emission() -> Planted:
    """An event that changes nothing in the state brings no record."""
    fold_chunk = projector.fold_chunk

    def fold(*arguments: Any) -> projector.Folded:
        folded = fold_chunk(*arguments)
        for key, events in list(folded.touched.items()):
            folded.touched[key] = [e for e in events if folded.counted[e.record.offset] == "new"]
            if not folded.touched[key]:
                del folded.touched[key]
        return folded

    return patch.object(projector, "fold_chunk", fold)


def commit_past_a_waiting_row() -> Planted:
    """The offset goes as far as was settled last, whatever still waits below it."""

    def committable(self: window._Offsets) -> int | None:
        return max(self._done) + 1 if self._done else (self._open[0] if self._open else self.next)

    return patch.object(window._Offsets, "committable", property(committable))


def older_over_newer() -> Planted:
    """Of two writes of one record in a window, the older goes."""
    by_age = window._by_age

    def turned(later: Row, earlier: Row) -> tuple[Row, Row]:
        newer, older = by_age(later, earlier)
        return older, newer

    return patch.object(window, "_by_age", turned)


def changelog_write_lost() -> Planted:
    """What is remembered of subscriptions stays in memory, and its changelog never hears of it."""
    changes = Memory.changes

    def lost(self: Memory, partition: int, states: Mapping[bytes, State]) -> list[Record]:
        kept = []
        for change in changes(self, partition, states):
            if change.topic == topics.changelog(self._subscriptions.name):
                self._subscriptions.put(
                    partition, {change.key or b"": change.value}, 0, self._subscriptions.epoch(partition)
                )
            else:
                kept.append(change)
        return kept

    return patch.object(Memory, "changes", lost)


def retry_drops_a_row() -> Planted:
    """A row that is to go again is forgotten."""
    leave = Turn._leave

    def dropped(self: Turn, rows: Iterable[Row]) -> None:
        for row in list(rows):
            if row.tries and row.write.key in self._rows:
                self._book.resolve(self._rows.pop(row.write.key))
            else:
                leave(self, [row])

    return patch.object(Turn, "_leave", dropped)


def replay_sets_the_state_back() -> Planted:
    """An event that is read again counts as the newest."""

    def fold(state: Versioned[Any] | None, created: int, telling: Telling[Any]) -> Versioned[Any]:
        if state is not None and created < state.created:
            return Versioned(created, (telling,))
        return versions.fold(state, created, telling)

    return _folding(fold)


def no_answer_taken_for_success() -> Planted:
    """A request without an answer is taken for one that was applied."""
    refused = Verdicts.refused

    def applied(self: Verdicts, rows: Any, error: RequestError, now: float, object_: str) -> list[Settled]:
        if rows and error.code == "timeout":
            return [Settled(row, "updated") for row in rows]
        return refused(self, rows, error, now, object_)

    return patch.object(Verdicts, "refused", applied)


def two_chunks_at_once() -> Planted:
    """A partition's chunk does not wait for the one before it."""

    async def begin(
        self: Lanes, partition: int, work: Callable[..., Any], chunk: Any, done: Callable[[], Any]
    ) -> None:
        self._lanes.clear()
        await BEGIN(self, partition, work, chunk, done)

    return patch.object(Lanes, "begin", begin)


def strays_are_dropped() -> Planted:
    """An event that names no customer is not put on the topic again under its customer."""

    async def route(self: Steps, folded: projector.Folded) -> list[Record]:
        return []

    return patch.object(Steps, "_route", route)


def mark_after_sending() -> Planted:
    """What is told is marked when it has been told."""

    async def deliver(self: Outlet, parcel: Parcel) -> None:
        marked = cast(marks.Marks, self._claims)._first
        untold = tuple(item for item in parcel.items if marks.key(item, parcel.channel) not in marked)
        if untold:
            await self._tell(Parcel(parcel.channel, parcel.address, untold))
        await self._claims.claim(parcel)
        for item in parcel.items:
            self._done(item, self.channel.name)

    return patch.object(Outlet, "_deliver", deliver)


# Each with the seeds, from 0 on, within which the checker has to find it.
MUTATIONS: Mapping[Callable[[], Planted], int] = {
    ack_before_emit: 200,
    ties_are_dropped: 20,
    flush_skipped: 100,
    deduplication_suppresses_emission: 20,
    commit_past_a_waiting_row: 100,
    older_over_newer: 50,
    changelog_write_lost: 50,
    retry_drops_a_row: 100,
    replay_sets_the_state_back: 20,
    no_answer_taken_for_success: 100,
    two_chunks_at_once: 20,
    strays_are_dropped: 100,
    mark_after_sending: 100,
}
