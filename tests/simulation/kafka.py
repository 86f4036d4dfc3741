"""A model of Kafka: partitions, offsets, commits, and groups whose members come and go.

What is appended stays. A producer that dies on the way leaves some of its records behind, and one that dies before
the ack cannot know. A commit is refused when the group has moved on, and may get lost.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Protocol

import msgspec
from aiokafka.errors import KafkaError

from stream.kafka.batches import Record
from tests.simulation.clock import Process, within

# What a send or a commit takes when the brokers are busy.
LONG_SECONDS = 2.0
# A member that is killed is missed after this long.
SESSION_SECONDS = 10.0
# One that does not give its partitions up in time is put out of the group.
REBALANCE_SECONDS = 30.0


class Stored(msgspec.Struct, frozen=True):
    """A record in its place."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int = 0


Place = tuple[str, int]


class Broker:
    """All of Kafka. `trouble` is the chance that a send fails or a commit gets lost. `reached` and
    `written` are what projectors and writers keep of how far they have ever come, by partition."""

    def __init__(self, chance: random.Random, partitions: int) -> None:
        self.partitions = partitions
        self.trouble = 0.0
        self.logs: dict[Place, list[Stored]] = defaultdict(list)
        self.committed: dict[tuple[str, Place], tuple[int, str]] = {}
        self.reached: dict[int, int] = {}
        self.written: dict[int, int] = {}
        self.generation: dict[str, int] = defaultdict(int)
        self._news: dict[Place, asyncio.Event] = defaultdict(asyncio.Event)
        self._of_topic: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._chance = chance
        self._before: dict[tuple[str, Place], tuple[int, str]] = {}

    def end(self, place: Place) -> int:
        """The offset that the next record will get."""
        return len(self.logs[place])

    def append(self, record: Record) -> int:
        """Keeps a record; gives its offset."""
        place = (record.topic, record.partition)
        log = self.logs[place]
        at = record.timestamp or int(time.time() * 1000)
        log.append(Stored(*place, len(log), record.key, record.value, tuple(record.headers), at))
        self._news[place].set()
        self._of_topic[record.topic].set()
        return len(log) - 1

    async def beyond(self, place: Place, offset: int) -> None:
        """Until a record is there at an offset."""
        while self.end(place) <= offset:
            self._news[place].clear()
            await self._news[place].wait()

    async def news(self, topic: str, seconds: float) -> None:
        """Until a record comes to a topic, or some time has passed."""
        self._of_topic[topic].clear()
        try:
            async with asyncio.timeout(seconds):
                await self._of_topic[topic].wait()
        except TimeoutError:
            return

    async def send(self, process: Process, records: Iterable[Record]) -> dict[Place, int]:
        """As `BatchProducer.send`: partition by partition, each as a whole."""
        process.reach()
        batches: dict[Place, list[Record]] = {}
        for record in records:
            batches.setdefault((record.topic, record.partition), []).append(record)
        if not batches:
            return {}
        await self.delay()
        last = {}
        failing = self._chance.random() < self.trouble / 4
        for place, batch in batches.items():
            process.reach()
            if failing and self._chance.random() < 0.5:
                raise KafkaError("The broker does not answer.")
            for record in batch:
                last[place] = self.append(record)
            if len(batches) > 1:
                await self.delay()
        await self.delay()
        return last

    async def commit(self, group: str, generation: int, offsets: Mapping[Place, tuple[int, str]]) -> bool:
        """Whether the group is still the one that the member knows."""
        await self.delay()
        if generation != self.generation[group]:
            return False
        if self._chance.random() < self.trouble / 4:
            raise KafkaError("The coordinator does not answer.")
        for place, at in offsets.items():
            self._before[group, place] = self.committed.get((group, place), (0, ""))
            self.committed[group, place] = at
        await self.delay()
        return True

    def position(self, group: str, place: Place) -> tuple[int, str]:
        """What a group has committed."""
        return self.committed.get((group, place), (0, ""))

    def lose_commits(self, group: str) -> None:
        """The last commit of every partition is gone, as with a broker that had not copied it yet."""
        for known, place in list(self._before):
            if known == group:
                self.committed[group, place] = self._before[group, place]

    async def delay(self) -> None:
        """Some milliseconds on the wire, and now and then a good deal more."""
        longest = LONG_SECONDS if self._chance.random() < 0.1 else 0.03
        await asyncio.sleep(self._chance.uniform(0.001, longest))


class Member(Protocol):
    """A process that takes part in a group."""

    process: Process

    async def revoke(self) -> None:
        """Gives everything up, as the group asks for."""

    def evict(self) -> None:
        """Learns that it is out of the group, and that all it had is somebody else's by now."""

    async def assign(self, partitions: tuple[int, ...], generation: int) -> None:
        """Gets its share."""


class Group:
    """A consumer group. Rebalancing is eager: everybody gives all up, then gets a share."""

    def __init__(self, broker: Broker, name: str, chance: random.Random) -> None:
        self.name = name
        self.members: list[Member] = []
        self._broker = broker
        self._chance = chance
        self._turn = asyncio.Lock()
        self._assigning: dict[Member, asyncio.Task[None]] = {}

    async def join(self, member: Member) -> None:
        """One more member."""
        async with self._turn:
            await self._rebalance([*self.members, member])

    async def leave(self, member: Member) -> None:
        """One less, who says goodbye."""
        async with self._turn:
            await self._rebalance([other for other in self.members if other is not member], member)

    async def miss(self, member: Member) -> None:
        """One less, who is missed after a time."""
        await asyncio.sleep(SESSION_SECONDS)
        await self.leave(member)

    async def shake(self) -> None:
        """A rebalance for no reason that anybody sees."""
        async with self._turn:
            await self._rebalance(self.members)

    async def _revoke(self, member: Member) -> None:
        """A consumer tells its listener of one thing after the other."""
        if assigning := self._assigning.pop(member, None):
            await asyncio.wait([assigning])
        await member.revoke()

    async def _rebalance(self, members: list[Member], leaving: Member | None = None) -> None:
        before = [*self.members]
        results = await asyncio.gather(
            *(
                within(REBALANCE_SECONDS, partial(self._revoke, member))
                for member in before
                if member.process.alive
            )
        )
        self._broker.generation[self.name] += 1
        late = [m for m, ok in zip((m for m in before if m.process.alive), results, strict=False) if not ok]
        self.members = [member for member in members if member.process.alive]
        self._chance.shuffle(self.members)
        generation = self._broker.generation[self.name]
        for n, member in enumerate(self.members):
            share = tuple(range(n, self._broker.partitions, len(self.members)))
            if member in late:
                member.evict()
            self._assigning[member] = member.process.run(member.assign(share, generation))
        if leaving is not None and leaving.process.alive:
            leaving.evict()
