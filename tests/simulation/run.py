"""One seeded run: lives, faults, and the check at the end."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from functools import lru_cache
from typing import Any
from unittest.mock import patch

from aiokafka.errors import KafkaError

from stream import metrics, topics
from stream.kafka.batches import Record, partition_of
from stream.sandbox import expected
from stream.sandbox.stripe.identities import Mixture
from stream.sandbox.stripe.world import World
from stream.settings import Kafka, Notify, Settings
from stream.settings.stages import Writer as WriterSettings
from tests.fakes.salesforce import FakeSalesforce
from tests.lives import records
from tests.simulation.checker import check
from tests.simulation.clock import Stuck, VirtualLoop
from tests.simulation.faults import FAULTS, LIMIT, Fault, mend
from tests.simulation.kafka import Broker, Group, Stored
from tests.simulation.notifier import Notifier, People, following
from tests.simulation.projector import SOURCES, Projector
from tests.simulation.stripe import Stripe
from tests.simulation.writer import Writer

PARTITIONS = 3
WORLDS = 40
# Faults begin until then (virtual seconds); once they are over, all has to come to rest within the second figure.
FAULTS_UNTIL, REST_WITHIN = 60.0, 1000.0


class Wrong(AssertionError):
    """What the checker found. The message names the seed, and how to see it again."""


class Run:
    """What one seed makes. `faults` are what goes wrong, and when (virtual seconds)."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(f"simulation/{seed}")
        self.world, self.events = _world(seed % WORLDS)
        self.faults = _plan(random.Random(f"faults/{seed}"))
        bulk = self.chance.choice((6, 2000))
        self.settings = Settings(
            kafka=Kafka(partitions=PARTITIONS, brokers=["simulated:9092"]),
            writer=WriterSettings(bulk_from_rows=bulk, linger_seconds=0.1, attempts=8),
            notify=Notify(per_minute=self.chance.choice((3, 1000))),
        )
        self.broker = Broker(self.chance, PARTITIONS)
        self.stripe = Stripe(self.world, self.chance)
        self.salesforce = FakeSalesforce(seed, LIMIT)
        self.projectors = Group(self.broker, topics.PROJECTOR_GROUP, self.chance)
        self.writers = Group(self.broker, topics.WRITER_GROUP, self.chance)
        self.notifiers = Group(self.broker, topics.NOTIFIER_GROUP, self.chance)
        self.people = People(self.chance)
        self.ever_notifiers: list[Notifier] = []
        self.ever_projectors: list[Projector] = []
        self.ever_writers: list[Writer] = []
        self.crashes: list[str] = []
        self.kept: dict[str, dict[str, str]] = {"Account": {}, "Contact": {}}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._before = _counted()

    async def play(self) -> None:
        """Plays it to its end. Raises Wrong."""
        self._seed_salesforce()
        await self.start_projector()
        await self.start_writer()
        await self.start_notifier()
        webhooks = asyncio.create_task(self._webhooks())
        loop = asyncio.get_running_loop()
        for at, fault in self.faults:
            await asyncio.sleep(max(0.0, at - loop.time()))
            await fault(self)
        await webhooks
        mend(self)
        await self._rest()
        if wrong := check(self):
            raise Wrong(f"{len(wrong)} wrong:\n" + "\n".join(wrong[:8]))

    def _seed_salesforce(self) -> None:
        """What people have put there before."""
        for key, (account, contact) in expected.earlier(self.world).items():
            id_ = self.kept["Account"][key] = self.salesforce.seed("Account", **account)
            if contact is not None:
                self.kept["Contact"][key] = self.salesforce.seed("Contact", **contact, AccountId=id_)

    async def _webhooks(self) -> None:
        """The gateway's part: accepted events, out of order and some of them twice."""
        told = [*self.events, *self.chance.choices(self.events, k=len(self.events) // 5)]
        if self.chance.random() < 0.7:
            self.chance.shuffle(told)
        for event in told:
            await asyncio.sleep(self.chance.expovariate(2.0))
            at = partition_of(event.key, PARTITIONS)
            self.broker.append(Record(topics.STRIPE_EVENTS, at, event.key, event.value, event.headers))

    # Processes

    async def start_projector(self) -> None:
        """One more of them."""
        name = f"projector {len(self.ever_projectors) + 1}"
        member = Projector(name, self.broker, self.stripe, self.settings, self.chance)
        self.ever_projectors.append(member)
        self.later(self._watch(self.projectors, member, self.start_projector))
        await self.projectors.join(member)

    async def start_writer(self) -> None:
        """One more of them."""
        name = f"writer {len(self.ever_writers) + 1}"
        member = Writer(name, self.broker, self.salesforce, self.settings, self.chance)
        self.ever_writers.append(member)
        self.later(self._watch(self.writers, member, self.start_writer))
        await self.writers.join(member)

    async def start_notifier(self) -> None:
        """One more of them."""

        async def join(member: Notifier) -> None:
            await self.notifiers.join(member)

        name = f"notifier {len(self.ever_notifiers) + 1}"
        member = Notifier(name, self.broker, self.people, self.settings, join)
        self.ever_notifiers.append(member)
        self.later(self._watch(self.notifiers, member, self.start_notifier))

    async def _watch(self, group: Group, member: Any, start: Callable[[], Awaitable[None]]) -> None:
        """The supervisor: instead of a process that has ended it starts another."""
        process = member.process
        await process.ended.wait()
        if process.failure is not None and not isinstance(process.failure, KafkaError):
            self.crashes.append(f"{process.name} failed: {process.failure!r}")
        if not process.retired:
            self.later(group.miss(member))
            await asyncio.sleep(self.chance.uniform(0.1, 15.0))
            await start()

    def later(self, work: Any) -> None:
        """Starts work beside the run."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.crashes.append(f"the run itself failed: {error!r}")

    def one(self, group: Group) -> Any:
        """A living member, or None."""
        alive = [member for member in group.members if member.process.alive]
        return self.chance.choice(alive) if alive else None

    # The end

    async def _rest(self) -> None:
        """Until all groups have committed all that there is, for a while."""
        loop = asyncio.get_running_loop()
        deadline, quiet = loop.time() + REST_WITHIN, 0
        while quiet < 10 and not self.crashes:
            await asyncio.sleep(1.0)
            quiet = quiet + 1 if not self._behind() else 0
            if loop.time() > deadline:
                raise Wrong(f"It does not come to rest: {self._behind()}")

    def _behind(self) -> dict[str, int]:
        found = {}
        for group, of in (
            (topics.PROJECTOR_GROUP, SOURCES),
            (topics.WRITER_GROUP, (topics.SALESFORCE_WRITES,)),
            (topics.NOTIFIER_GROUP, (topics.NOTICES,)),
        ):
            for topic in of:
                for partition in range(PARTITIONS):
                    place = (topic, partition)
                    if left := self.broker.end(place) - self.broker.position(group, place)[0]:
                        found[f"{topic}/{partition}"] = left
        return found

    # What became of it

    def all(self, topic: str) -> Iterator[Stored]:
        """All records of a topic."""
        for partition in range(PARTITIONS):
            yield from self.broker.logs[topic, partition]

    def counted(self) -> float:
        """Events that the projectors' metric has counted."""
        return _counted() - self._before

    @property
    def digest(self) -> str:
        """Of all that was said and done: the same whenever the seed is played."""
        found = hashlib.sha256()
        for place in sorted(self.broker.logs):
            found.update(repr(self.broker.logs[place]).encode())
        found.update(repr((self.salesforce.sent, self.people.heard)).encode())
        return found.hexdigest()

    @property
    def story(self) -> str:
        """What went wrong when, in virtual seconds."""
        return ", ".join(f"{at:.1f} {fault.__name__.replace('_', ' ')}" for at, fault in self.faults)


def _plan(chance: random.Random) -> list[tuple[float, Fault]]:
    """Two to eight faults. Half of them follow closely on another: then they find what that has not mended yet."""
    times = [chance.uniform(0.0, FAULTS_UNTIL)]
    for _ in range(chance.randint(1, 7)):
        close = chance.random() < 0.5
        times.append(
            chance.choice(times) + chance.uniform(0.0, 3.0) if close else chance.uniform(0.0, FAULTS_UNTIL)
        )
    return [(at, chance.choice(FAULTS)) for at in sorted(times)]


@lru_cache(maxsize=WORLDS)
def _world(number: int) -> tuple[World, tuple[Any, ...]]:
    world = World(number, 2, mixture=Mixture(known=0.3, ambiguous=0.0), events=14)
    return world, tuple(records(world.events))


def _counted() -> float:
    return sum(
        sample.value
        for metric in metrics.EVENTS_PROCESSED.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    )


def simulate(seed: int, quiet: int = logging.CRITICAL) -> Run:
    """Plays one seed; raises Wrong. Whatever it does, it does the same again, since time and chance are its own.
    Nothing is logged up to the level `quiet`."""
    loop = VirtualLoop()
    chance, level = random.getstate(), logging.root.manager.disable
    random.seed(seed)
    logging.disable(quiet)
    asyncio.set_event_loop(loop)
    run = Run(seed)
    try:
        with patch("time.monotonic", loop.time), patch("time.time", loop.wall), following(run.broker):
            loop.run_until_complete(run.play())
    except Exception as error:
        told = error if isinstance(error, Wrong) else repr(error)
        raise Wrong(f"Seed {seed}: {told}\nFaults: {run.story}\nOnce more: make sim SEEDS={seed}") from error
    finally:
        with contextlib.suppress(Stuck):
            _end(loop)
        asyncio.set_event_loop(None)
        loop.close()
        logging.disable(level)
        random.setstate(chance)
    return run


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Whatever is still at work is not of interest any more."""
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
