"""The projector as a process: the real steps on chunks, with the consumer, the tables and the commits modelled."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, cast

from aiokafka.errors import KafkaError

from agents.lanes import Lanes
from agents.steps import Chunk, Steps
from stream import topics
from stream.kafka.batches import Record
from stream.kafka.epochs import Epochs, mark
from stream.settings import Settings
from stream.stripe.api import StripeApi
from tests.simulation.clock import Process, within
from tests.simulation.kafka import Broker, Place
from tests.simulation.stripe import Stripe

SOURCES = (topics.STRIPE_EVENTS, topics.SALESFORCE_RESULTS, topics.STRIPE_CATALOGUE)


class Table:
    """The rows of one table in memory, by partition."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._epochs = Epochs()
        self._overwritten: dict[int, set[bytes]] = defaultdict(set)

    def get(self, partition: int, key: bytes) -> bytes | None:
        return self.rows[partition].get(key)

    def items(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        yield from list(self.rows[partition].items())

    def epoch(self, partition: int) -> int:
        return self._epochs.newest(partition)

    def overwritten(self, partition: int) -> Collection[bytes]:
        return self._overwritten[partition]

    def put(self, partition: int, rows: Mapping[bytes, bytes | None], offset: int, epoch: int) -> None:
        self._epochs.late(partition, offset, (mark(epoch),))
        self._overwritten[partition] -= rows.keys()
        self.rows[partition].update({key: value for key, value in rows.items() if value is not None})

    def count(self) -> int | None:
        return None

    def recover(self, broker: Broker, partition: int) -> None:
        """From the changelog, as Faust does it."""
        self.rows[partition] = {}
        for record in broker.logs[topics.changelog(self.name), partition]:
            if record.key and self._epochs.late(partition, record.offset, record.headers):
                self._overwritten[partition].add(record.key)
            elif record.key is not None and record.value is not None:
                self.rows[partition][record.key] = record.value
                self._overwritten[partition].discard(record.key)


class _Log:
    def __init__(self, broker: Broker, process: Process) -> None:
        self._broker = broker
        self._process = process

    async def send(self, records: Iterable[Record]) -> dict[Place, int]:
        return await self._broker.send(self._process, records)


class Projector:
    """A member of the projector's group. `begun` and `done` count the events that it has worked on."""

    def __init__(
        self,
        name: str,
        broker: Broker,
        stripe: Stripe,
        settings: Settings,
        chance: random.Random,
    ) -> None:
        self.process = Process(name)
        self.begun = self.done = 0
        self._broker = broker
        self._chance = chance
        self._tables = [Table(table) for table in topics.TABLES]
        self._steps = Steps(settings, _Log(broker, self.process), cast(StripeApi, stripe), *self._tables)
        self._lanes = Lanes(self._crash)
        self._acked: dict[Place, int] = {}
        self._loops: list[asyncio.Task[Any]] = []
        self._generation = -1
        for record in broker.logs[topics.STRIPE_CATALOGUE, 0]:
            self._steps.restock(record)

    async def _crash(self, error: BaseException) -> None:
        self.process.fail(error)

    async def assign(self, partitions: tuple[int, ...], generation: int) -> None:
        """Recovers the tables, then reads on from what the group has committed."""
        self._generation = generation
        self._steps.until = dict(self._broker.reached)
        for partition in partitions:
            for table in self._tables:
                table.recover(self._broker, partition)
            await self._broker.delay()
        for partition in partitions:
            for topic in SOURCES:
                self._loops.append(self.process.run(self._read(topic, partition)))
        self._loops.append(self.process.run(self._commit_now_and_then()))

    async def revoke(self) -> None:
        """Ends what is under way, commits and forgets."""
        await self._stop()
        await within(5.0, self._settled)
        await self.commit()
        self.evict()

    def evict(self) -> None:
        """What is under way goes on, but nothing of it is committed any more."""
        for loop in self._loops:
            loop.cancel()
        self._loops.clear()
        self._acked.clear()
        self._generation = -1

    async def _stop(self) -> None:
        loops, self._loops = self._loops, []
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)

    async def _settled(self) -> None:
        while lanes := [lane for lane in self._lanes._lanes.values() if not lane.done()]:
            await asyncio.wait(lanes)

    async def commit(self) -> None:
        """What has been acknowledged since the last time, in order."""
        acked, self._acked = self._acked, {}
        if acked:
            self.process.reach()
            offsets = {place: (offset, "") for place, offset in acked.items()}
            for (topic, partition), offset in acked.items():
                if topic == topics.STRIPE_EVENTS:
                    self._broker.reached[partition] = max(offset, self._broker.reached.get(partition, 0))
            try:
                await self._broker.commit(topics.PROJECTOR_GROUP, self._generation, offsets)
                self.process.committed()
            except KafkaError as error:  # Faust's worker ends then, and is started again
                self.process.fail(error)

    async def _commit_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0.05, 1.5))
            await self.commit()

    async def _read(self, topic: str, partition: int) -> None:
        place = (topic, partition)
        offset, _ = self._broker.position(topics.PROJECTOR_GROUP, place)
        work = {
            topics.STRIPE_EVENTS: self._project,
            topics.SALESFORCE_RESULTS: self._steps.learn,
            topics.STRIPE_CATALOGUE: self._steps.rename,
        }[topic]
        while True:
            chunk = self._broker.logs[place][offset : offset + self._chance.randint(1, 12)]
            if not chunk:
                await self._broker.beyond(place, offset)
                await asyncio.sleep(self._chance.uniform(0.01, 0.3))
                continue
            offset = chunk[-1].offset + 1
            self._steps.own(partition, self._generation)
            await self._lanes.begin(partition, work, chunk, self._done(place, offset))

    async def _project(self, partition: int, chunk: Chunk) -> None:
        self.begun += len(chunk)
        await self._steps.project(partition, chunk)
        self.done += len(chunk)

    def _done(self, place: Place, offset: int) -> Any:
        generation = self._generation

        def done() -> None:
            if generation == self._generation:
                self._acked[place] = offset

        return done
