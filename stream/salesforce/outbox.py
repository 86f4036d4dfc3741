"""What is known and not yet told: outcomes to the log, then the offsets behind them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from stream import metrics
from stream.kafka.batches import Record
from stream.records import phase
from stream.salesforce.rows import Row
from stream.salesforce.settle import Settled, records
from stream.salesforce.window import Book


class Log(Protocol):
    """Where outcomes go, and what remembers how far we are."""

    async def send(self, records: Iterable[Record]) -> None:
        """Returns when all of them are durable."""

    async def commit(self, offsets: Mapping[int, tuple[int, str]]) -> bool:
        """Commits offset and metadata by partition. False when the partitions are not ours any more."""

    def behind(self) -> int:
        """Records that are there to be read and have not been."""


class Outbox:
    """Tells each outcome once, and commits an offset only when every outcome below it has been told.

    `metadata` gives what is to be committed beside a partition's offset.
    """

    def __init__(self, log: Log, book: Book, metadata: Callable[[int], str]) -> None:
        self._log = log
        self._book = book
        self._metadata = metadata
        self._settled: list[Settled] = []
        self._committed: dict[int, tuple[int, str]] = {}
        self._turn = asyncio.Lock()
        self.owned = False  # nothing is committed before the metadata of an earlier life has been read

    def add(self, settled: Iterable[Settled]) -> None:
        """Outcomes to be told with the next flush."""
        self._settled += settled

    def superseded(self, rows: Iterable[Row]) -> None:
        """Rows that a newer write has made superfluous."""
        self._settled += (Settled(row, "superseded") for row in rows)

    async def settle(self, settled: Iterable[Settled]) -> None:
        """Tells of these outcomes, and of all others that are known."""
        self.add(settled)
        await self.flush()

    async def flush(self) -> None:
        """Tells of all outcomes that are known. Raises what the log raises."""
        async with self._turn:
            told, self._settled = self._settled, []
            if not told:
                return
            at = int(time.time() * 1000)
            await self._log.send(record for one in told for record in records(one, at))
            for one in told:
                self._book.resolve(one.row)
                _count(one, at)

    async def checkpoint(self) -> bool:
        """Tells what is known, and commits how far that reaches. False when the partitions are gone."""
        await self.flush()
        async with self._turn:
            if not self.owned:
                return False
            offsets = self._book.committable().items()
            now = {partition: (offset, self._metadata(partition)) for partition, offset in offsets}
            changed = {partition: at for partition, at in now.items() if self._committed.get(partition) != at}
            if changed and not await self._log.commit(changed):
                return False
            self._committed.update(changed)
            return True

    def forget(self) -> None:
        """The partitions are gone, and what was known of them."""
        self.owned = False
        self._settled.clear()
        self._committed.clear()


def _count(settled: Settled, at: int) -> None:
    write = settled.row.write
    object_ = (
        write.object if settled.stage != "decode" else "unknown"
    )  # a key that is no key may say anything
    metrics.ROWS.labels(object_, settled.outcome, phase(replay=settled.row.replay)).inc()
    if settled.error is not None:
        metrics.DEAD_LETTERS.labels(settled.stage, settled.error.code).inc()
    elif settled.outcome != "superseded" and not settled.row.replay:  # an old event's age is no delay
        for event in (*settled.row.waited, *write.events):
            metrics.END_TO_END.observe(max(0, at - event.received_at) / 1000)
