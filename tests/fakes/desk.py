"""A dispatcher at work on a log in memory, for tests."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from stream.kafka.batches import Record
from stream.records import Result, Write, decode_result, encode
from stream.salesforce.bulk import read_metadata
from stream.salesforce.dispatcher import Dispatcher
from stream.salesforce.lanes import Pace
from stream.salesforce.port import Salesforce
from stream.settings import Settings
from stream.topics import DEAD_LETTERS, SALESFORCE_RESULTS

DEADLINE = 60.0

# Everything waits a thousandth of what it waits in earnest.
QUICK = Pace(
    away=(0.002, 0.02),
    login=(0.002, 0.02),
    quota=(0.002, 0.02),
    configuration=(0.01, 0.02),
    row=(0.002, 0.01),
    poll=(0.002, 0.01),
    gather_seconds=0.01,
    revoke_seconds=0.5,
)


def settings(**sections: Mapping[str, object]) -> Settings:
    """Settings with a short linger."""
    writer = {"linger_seconds": 0.002, **sections.pop("writer", {})}
    return Settings(writer=writer, **sections)  # type: ignore[arg-type]


class MemoryLog:
    """`salesforce.writes` as it is, and what is told and committed. Checks each commit as it comes."""

    def __init__(self) -> None:
        self.writes: dict[int, list[tuple[bytes, bytes | None]]] = defaultdict(list)
        self.told: list[tuple[int, Result]] = []
        self.letters: list[Record] = []
        self.committed: dict[int, tuple[int, str]] = {}
        self.reached: dict[int, int] = defaultdict(int)
        self.settled: dict[int, int] = defaultdict(int)  # results told by partition
        self.owner = True
        self.changed = asyncio.Condition()

    def put(self, write: Write | bytes | None, partition: int = 0, key: str | None = None) -> int:
        """Appends a write; gives its offset."""
        value = encode(write) if isinstance(write, Write) else write
        name = key if key is not None else (write.key if isinstance(write, Write) else "Account:cus_?")
        self.writes[partition].append((name.encode(), value))
        return len(self.writes[partition]) - 1

    @property
    def results(self) -> list[Result]:
        return [result for _, result in self.told]

    async def send(self, records: Iterable[Record]) -> None:
        await asyncio.sleep(0)
        for record in records:
            assert record.value is not None
            if record.topic == SALESFORCE_RESULTS:
                self.told.append((record.partition, decode_result(record.value)))
                self.settled[record.partition] += 1
            else:
                assert record.topic == DEAD_LETTERS
                self.letters.append(record)
        async with self.changed:
            self.changed.notify_all()

    async def commit(self, offsets: Mapping[int, tuple[int, str]]) -> bool:
        await asyncio.sleep(0)
        if not self.owner:
            return False
        for partition, (offset, metadata) in offsets.items():
            before = self.committed.get(partition, (0, ""))[0]
            assert before <= offset <= len(self.writes[partition]), "an offset goes back, or past the end"
            # Every write below the offset has its result: they cannot be told of one by one, but counted.
            asked = sum(value is not None for _, value in self.writes[partition][:offset])
            assert self.settled[partition] >= asked, "an offset is past a write without a result"
            self.committed[partition] = (offset, metadata)
            self.reached[partition] = max(offset, self.reached[partition])
        async with self.changed:
            self.changed.notify_all()
        return True

    def behind(self) -> int:
        return 0


class Desk:
    """One life of a writer."""

    def __init__(
        self,
        port: Salesforce,
        log: MemoryLog,
        config: Settings,
        pace: Pace = QUICK,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.log = log
        self.dispatcher = Dispatcher(port, log, config, pace, clock)
        self._positions: dict[int, int] = {}

    def own(self, *partitions: int) -> None:
        """Joins the group, and reads on from the commits."""
        self.dispatcher.expect(partitions, dict(self.log.reached))
        for partition in partitions:
            self._positions[partition] = self.log.committed.get(partition, (0, ""))[0]
        kept = {p: read_metadata(self.log.committed.get(p, (0, ""))[1]) for p in partitions}
        self.dispatcher.own(kept)
        self.read()

    def read(self) -> None:
        """Reads all that is there."""
        for partition, position in self._positions.items():
            rows = self.log.writes[partition]
            for offset in range(position, len(rows)):
                self.dispatcher.read(partition, offset, *rows[offset])
            self._positions[partition] = len(rows)

    def put(self, *writes: Write, partition: int = 0) -> None:
        """Appends writes, and reads them."""
        for write in writes:
            self.log.put(write, partition)
        self.read()

    async def results(self, count: int) -> list[Result]:
        """The results once there are so many."""
        await self.until(lambda: len(self.log.told) >= count)
        return self.log.results

    async def done(self) -> list[Result]:
        """The results once everything that was read is committed."""
        await self.until(
            lambda: all(
                self.log.committed.get(partition, (0, ""))[0] == position
                for partition, position in self._positions.items()
            )
        )
        return self.log.results

    async def until(self, reached: object) -> None:
        """Waits for a condition on the log."""
        assert callable(reached)
        async with asyncio.timeout(DEADLINE), self.log.changed:
            await self.log.changed.wait_for(reached)


@asynccontextmanager
async def at_work(
    port: Salesforce,
    log: MemoryLog | None = None,
    config: Settings | None = None,
    pace: Pace = QUICK,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Desk]:
    """A writer with partitions 0 to 3, ended as by SIGTERM."""
    desk = Desk(port, log or MemoryLog(), config or settings(), pace, clock)
    running = asyncio.create_task(desk.dispatcher.run())
    desk.own(0, 1, 2, 3)
    try:
        yield desk
        assert not running.done(), "the dispatcher ended by itself"
    finally:
        desk.dispatcher.stop()
        await asyncio.wait_for(running, DEADLINE)
        await desk.dispatcher.close()
