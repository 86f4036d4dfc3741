"""The notifier as a process: the real desk, outlets and marks, with the consumers and the channel modelled."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from typing import Any, cast
from unittest.mock import patch

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from stream import topics
from stream.notify import marks, notifier, routes
from stream.notify.marks import Marks
from stream.notify.notifier import Desk, Source
from stream.notify.outlet import Outlet
from stream.notify.port import Message, Parcel, Undelivered, Why
from stream.notify.templates import Templates
from stream.settings import ChannelName, Notify, Settings
from tests.simulation.clock import Process
from tests.simulation.kafka import Broker, Stored

# A poll without records, in milliseconds; what is done is committed after each.
POLL_MS = 3000
FETCHED = 50


class People:
    """Those who are told. `trouble` is the chance that the channel does not take a message, or does not say so."""

    def __init__(self, chance: random.Random) -> None:
        self.trouble = 0.0
        self.heard: list[str] = []  # IDs of notices, as often as they were told
        self.refused: set[str] = set()
        self._chance = chance

    async def tell(self, process: Process, parcel: Parcel) -> None:
        """One message. Raises Undelivered."""
        process.reach()
        await asyncio.sleep(self._chance.uniform(0.01, 0.5))
        ids = [item.notice.id for item in parcel.items]
        if self._chance.random() < self.trouble:
            self.refused.update(ids)
            raise Undelivered(self._chance.choice((Why.LATER, Why.NEVER)), "503")
        self.heard += ids
        if self._chance.random() < self.trouble:
            raise Undelivered(Why.UNSURE, "timeout")
        await asyncio.sleep(self._chance.uniform(0.01, 0.5))


class Pager:
    """The port `Channel` of one process."""

    name: ChannelName = "log"

    def __init__(self, process: Process, people: People) -> None:
        self._process = process
        self._people = people

    async def send(self, parcel: Parcel, message: Message) -> None:
        await self._people.tell(self._process, parcel)

    async def close(self) -> None:
        """Nothing is kept open."""


class Producer:
    """As much of `BatchProducer` as the marks use."""

    def __init__(self, broker: Broker, process: Process) -> None:
        self._broker = broker
        self._process = process

    async def start(self) -> None:
        """Nothing to connect to."""

    async def send(self, records: Any) -> None:
        await self._broker.send(self._process, records)


class Consumer:
    """As much of `AIOKafkaConsumer` as the notifier uses: it chooses its partitions, or gets a share of them."""

    def __init__(self, broker: Broker, process: Process, join: Callable[[Consumer], Awaitable[None]]) -> None:
        self.process = process
        self._broker = broker
        self._join = join
        self._listener: Any = None
        self._generation = -1
        self._at: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        if self._listener is not None:
            await self._join(self)

    def subscribe(self, names: list[str], listener: Any) -> None:
        self._listener = listener

    def assign(self, partitions: list[TopicPartition]) -> None:
        self._at = dict.fromkeys(partitions, 0)

    async def seek_to_beginning(self, *partitions: TopicPartition) -> None:
        self._at |= dict.fromkeys(partitions, 0)

    async def position(self, partition: TopicPartition) -> int:
        return self._at[partition]

    def assignment(self) -> list[TopicPartition]:
        return list(self._at)

    def resume(self, *partitions: TopicPartition) -> None:
        """It is never paused: there is not so much to tell."""

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[Stored]]:
        await self._broker.delay()
        if not (found := self._fetched()):
            topic = topics.NOTICES if self._listener is not None else topics.NOTICES_SENT
            await self._broker.news(topic, timeout_ms / 1000)
            found = self._fetched()
        return found

    def _fetched(self) -> dict[TopicPartition, list[Stored]]:
        self.process.reach()
        found = {}
        for tp, at in self._at.items():
            if records := self._broker.logs[tp.topic, tp.partition][at : at + FETCHED]:
                found[tp] = records
                self._at[tp] = records[-1].offset + 1
        return found

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.process.reach()
        if not offsets.keys() <= self._at.keys():
            raise IllegalStateError("partitions are not assigned")
        told = {(tp.topic, tp.partition): (at, "") for tp, at in offsets.items()}
        if not await self._broker.commit(topics.NOTIFIER_GROUP, self._generation, told):
            raise CommitFailedError
        self.process.committed()

    # As a member of the group

    async def assigned(self, partitions: tuple[int, ...], generation: int) -> None:
        self._generation = generation
        for partition in partitions:
            place = (topics.NOTICES, partition)
            self._at[TopicPartition(*place)], _ = self._broker.position(topics.NOTIFIER_GROUP, place)
        await self._listener.on_partitions_assigned(list(self._at))

    async def revoked(self) -> None:
        with suppress(KafkaError):  # aiokafka logs what a listener raises, and goes on
            await self._listener.on_partitions_revoked(list(self._at))
        self._at.clear()

    def lost(self) -> None:
        self._at.clear()
        self._generation = -1


class Notifier:
    """A member of the notifier's group."""

    def __init__(
        self,
        name: str,
        broker: Broker,
        people: People,
        settings: Settings,
        join: Callable[[Notifier], Awaitable[None]],
    ) -> None:
        self.process = Process(name)
        self._broker = broker
        self._people = people
        self._settings = settings
        self._join = join
        self._consumer: Consumer | None = None
        self.process.run(self._run())

    async def _run(self) -> None:
        """As `stream.notify.notifier.notifier`, without what faces an operator."""
        notify = self._settings.notify
        try:
            desk = Desk(self._settings, routes.routes(notify))
            with _modelled(self._consume, lambda: Producer(self._broker, self.process)):
                marked, source = Marks(self._settings.kafka), Source(self._settings, desk)
            marked._self = self.process.name  # drawn at random otherwise, and a seed would not repeat
            pager = Pager(self.process, self._people)
            desk.outlets[pager.name] = Outlet(pager, marked, _templates(), notify, desk.done)
            await marked.start()
            await source.start()
            await notifier._until_stopped(desk, source, marked, asyncio.Event())
        except Exception as error:
            self.process.fail(error)

    def _consume(self) -> Any:
        return Consumer(self._broker, self.process, self._joined)

    async def _joined(self, consumer: Consumer) -> None:
        self._consumer = consumer
        await self._join(self)

    async def assign(self, partitions: tuple[int, ...], generation: int) -> None:
        await cast(Consumer, self._consumer).assigned(partitions, generation)

    async def revoke(self) -> None:
        await cast(Consumer, self._consumer).revoked()

    def evict(self) -> None:
        cast(Consumer, self._consumer).lost()


@lru_cache(maxsize=1)
def _templates() -> Templates:
    return Templates(Notify())


def words(notice: Any) -> str:
    """A notice as people read it."""
    return _templates().render(Parcel("slack", (), (notice,))).text


@contextmanager
def _modelled(consume: Callable[[], Any], produce: Callable[[], Any]) -> Iterator[None]:
    """While the notifier's parts are made, they get consumers and producers of the model."""
    with ExitStack() as stack:
        for module in (marks, notifier):
            stack.enter_context(patch.object(module, "AIOKafkaConsumer", lambda *_, **__: consume()))
        stack.enter_context(patch.object(marks, "BatchProducer", lambda *_: produce()))
        yield


@contextmanager
def following(broker: Broker) -> Iterator[None]:
    """For a whole run: where the marks ask Kafka how far they go, and how it is read."""

    async def ranges(*_: Any) -> dict[int, tuple[int, int]]:
        return {n: (0, broker.end((topics.NOTICES_SENT, n))) for n in range(broker.partitions)}

    async def poll(consumer: Consumer, timeout_ms: int) -> dict[TopicPartition, list[Stored]]:
        return await consumer.getmany(POLL_MS)

    with patch.object(marks, "ranges", ranges), ExitStack() as stack:
        for module in (marks, notifier):
            stack.enter_context(patch.object(module, "poll", poll))
        yield
