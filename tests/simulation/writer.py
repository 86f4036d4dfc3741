"""The writer as a process: the real dispatcher, on the model of Kafka and a Salesforce that fails."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from stream import topics
from stream.kafka.batches import Record
from stream.records import Write
from stream.salesforce.bulk import read_metadata
from stream.salesforce.dispatcher import Dispatcher
from stream.salesforce.lanes import Pace
from stream.salesforce.port import RowAnswer
from stream.settings import Settings
from tests.fakes.salesforce import FakeSalesforce
from tests.simulation.clock import Process
from tests.simulation.kafka import Broker

T = TypeVar("T")

# Less than a dead process' session, after which another owns its partitions.
LONGEST_CALL_SECONDS = 3.0

PACE = Pace(away=(0.5, 5.0), quota=(1.0, 10.0), configuration=(5.0, 20.0), row=(0.2, 2.0), poll=(0.2, 1.0))


class _Sink:
    """The writer's `Log`."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def send(self, records: Iterable[Record]) -> None:
        await self._writer.broker.send(self._writer.process, records)

    async def commit(self, offsets: Mapping[int, tuple[int, str]]) -> bool:
        writer = self._writer
        writer.process.reach()
        for partition, (offset, _) in offsets.items():
            writer.broker.written[partition] = max(offset, writer.broker.written.get(partition, 0))
        told = {(topics.SALESFORCE_WRITES, partition): at for partition, at in offsets.items()}
        done = await writer.broker.commit(topics.WRITER_GROUP, writer.generation, told)
        writer.process.committed()
        return done

    def behind(self) -> int:
        return 0


class Port:
    """Salesforce as one process reaches it. A dead one makes no calls; one that it has made goes on without it, and
    so does one that it has given up. `sent` sees what is written."""

    def __init__(
        self,
        process: Process,
        salesforce: FakeSalesforce,
        sent: Callable[[Sequence[Write]], None],
        chance: random.Random,
    ) -> None:
        self._process = process
        self._chance = chance
        self._salesforce = salesforce
        self._sent = sent

    async def upsert(self, object_: str, field: str, writes: Sequence[Write]) -> list[RowAnswer]:
        self._process.reach()
        self._sent(writes)
        return await self._underway(self._salesforce.upsert(object_, field, writes))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._salesforce, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def call(*arguments: Any, **more: Any) -> Any:
            self._process.reach()
            return await self._underway(found(*arguments, **more))

        return call

    async def _underway(self, call: Coroutine[Any, Any, T]) -> T:
        """The call is nobody's: it gets there even if the process that waits for it is no more."""
        seconds = self._chance.choice((0.0, 0.1, self._chance.uniform(0.0, LONGEST_CALL_SECONDS)))

        async def alone() -> T:
            await asyncio.sleep(seconds)
            return await call

        task = contextvars.Context().run(asyncio.get_running_loop().create_task, alone())
        self._process.reach()  # it may die while it waits
        return await asyncio.shield(task)


class Writer:
    """A member of the writer's group. `stale` are writes that it has sent after a newer one of the record."""

    def __init__(
        self, name: str, broker: Broker, salesforce: FakeSalesforce, settings: Settings, chance: random.Random
    ) -> None:
        self.process = Process(name)
        self.stale: list[str] = []
        self._newest: dict[str, int] = {}
        self.broker = broker
        self.generation = -1
        self._chance = chance
        loop = asyncio.get_running_loop()
        port: Any = Port(self.process, salesforce, self._sent, chance)
        self._dispatcher = Dispatcher(port, _Sink(self), settings, PACE, loop.time)
        self._loops: list[asyncio.Task[Any]] = []
        self.process.run(self._run())

    def _sent(self, writes: Sequence[Write]) -> None:
        for write in writes:
            newest = self._newest.setdefault(write.key, write.version)
            if write.version < newest:
                self.stale.append(f"{write.key} of {write.version} after that of {newest}")
            self._newest[write.key] = max(newest, write.version)

    async def _run(self) -> None:
        try:
            await self._dispatcher.run()
        except Exception as error:  # outcomes cannot be told: the process ends, and is started again
            self.process.fail(error)

    async def assign(self, partitions: tuple[int, ...], generation: int) -> None:
        """Gets partitions, with the Bulk jobs that their metadata tells of."""
        self.generation = generation
        self._newest.clear()  # what was not committed comes again, the old before the new
        self._dispatcher.expect(partitions, dict(self.broker.written))
        places = {partition: (topics.SALESFORCE_WRITES, partition) for partition in partitions}
        at = {
            partition: self.broker.position(topics.WRITER_GROUP, place) for partition, place in places.items()
        }
        for partition in partitions:
            self._loops.append(self.process.run(self._read(partition, at[partition][0])))
        await self.broker.delay()
        self._dispatcher.own({partition: read_metadata(told) for partition, (_, told) in at.items()})

    async def revoke(self) -> None:
        """As the consumer's listener does it."""
        for loop in self._loops:
            loop.cancel()
        self._loops.clear()
        try:
            await self._dispatcher.give_up()
        except Exception as error:
            self._dispatcher.fail(error)

    def evict(self) -> None:
        """It is out of the group: what it commits is refused."""
        self.generation = -1

    async def _read(self, partition: int, offset: int) -> None:
        place = (topics.SALESFORCE_WRITES, partition)
        while True:
            for record in self.broker.logs[place][offset : offset + 50]:
                self._dispatcher.read(partition, record.offset, record.key, record.value, record.headers)
                offset = record.offset + 1
            await asyncio.sleep(self._chance.uniform(0.02, 0.2))
            await self.broker.beyond(place, offset)
