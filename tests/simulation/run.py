"""One seeded run: lives, faults, and the check at the end."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any
from unittest.mock import patch

from stream import topics
from stream.kafka.batches import Record, partition_of
from stream.records import REPLAY, decode_notice, decode_result
from stream.sandbox import expected
from stream.sandbox.expected import money
from stream.sandbox.expected.customers import KEY
from stream.sandbox.expected.opportunities import two_decimals
from stream.sandbox.stripe.identities import Mixture
from stream.sandbox.stripe.world import World
from stream.settings import Settings
from tests.fakes.salesforce import FakeSalesforce, no_answer
from tests.lives import records
from tests.simulation.clock import Stuck, VirtualLoop
from tests.simulation.kafka import Broker, Group
from tests.simulation.projector import SOURCES, Projector
from tests.simulation.stripe import Stripe
from tests.simulation.writer import Writer

PARTITIONS = 3
WORLDS = 40
# All faults are over by then (virtual seconds); what is left has to come to rest within the second figure.
FAULTS_UNTIL, REST_WITHIN = 60.0, 4000.0

FAULTS = (
    "kill projector", "kill writer", "another projector", "another writer", "one projector less",
    "one writer less", "rebalance", "lost commits", "reset offsets", "kafka", "stripe away", "no answer",
    "no answer after applying", "locked rows", "quota", "slow",
)  # fmt: skip


class Wrong(AssertionError):
    """What the checker found. The message names the seed."""


@lru_cache(maxsize=WORLDS)
def _world(number: int) -> tuple[World, tuple[Any, ...]]:
    world = World(number, 2, mixture=Mixture(known=0.3, ambiguous=0.0), events=14)
    return world, tuple(records(world.events))


class Run:
    """What one seed makes. `faults` are those that happened, for whoever looks for the cause."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(f"simulation/{seed}")
        self.world, self.events = _world(seed % WORLDS)
        self.faults: list[tuple[float, str]] = []
        bulk = self.chance.choice((6, 2000))
        self.settings = Settings(
            kafka={"partitions": PARTITIONS},
            writer={"bulk_from_rows": bulk, "linger_seconds": 0.1, "attempts": 8},
        )  # type: ignore[arg-type]
        self.broker = Broker(self.chance, PARTITIONS)
        self.stripe = Stripe(self.world, self.chance)
        self.salesforce = FakeSalesforce(seed)
        self.projectors = Group(self.broker, topics.PROJECTOR_GROUP, self.chance)
        self.writers = Group(self.broker, topics.WRITER_GROUP, self.chance)
        self._started = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._kept: dict[str, dict[str, str]] = {}

    async def play(self) -> None:
        """Plays it to its end. Raises Wrong."""
        self._seed_salesforce()
        await self._start_projector()
        await self._start_writer()
        webhooks = asyncio.create_task(self._webhooks())
        loop = asyncio.get_running_loop()
        times = sorted(self.chance.uniform(0.0, FAULTS_UNTIL) for _ in range(self.chance.randint(2, 7)))
        for at in times:
            await asyncio.sleep(max(0.0, at - loop.time()))
            name = self.chance.choice(FAULTS)
            self.faults.append((round(at, 2), name))
            await getattr(self, "_" + name.replace(" ", "_"))()
        await webhooks
        self._mend()
        await self._rest()
        self._check()

    # What is there before

    def _seed_salesforce(self) -> None:
        self._kept = {"Account": {}, "Contact": {}}
        for key, (account, contact) in expected.earlier(self.world).items():
            id_ = self._kept["Account"][key] = self.salesforce.seed("Account", **account)
            if contact is not None:
                self._kept["Contact"][key] = self.salesforce.seed("Contact", **contact, AccountId=id_)

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

    async def _start_projector(self) -> Projector:
        self._started += 1
        name = f"projector {self._started}"
        member = Projector(name, self.broker, self.stripe, self.settings, self.chance)
        self._later(self._restart(self.projectors, member, self._start_projector))
        await self.projectors.join(member)
        return member

    async def _start_writer(self) -> Writer:
        self._started += 1
        member = Writer(f"writer {self._started}", self.broker, self.salesforce, self.settings, self.chance)
        self._later(self._restart(self.writers, member, self._start_writer))
        await self.writers.join(member)
        return member

    async def _restart(self, group: Group, member: Any, start: Callable[[], Any]) -> None:
        """A process whose work has failed ends, and the supervisor starts another."""
        await member.failed.wait()
        if member.process.alive:
            await self._end(group, member, start)

    async def _end(self, group: Group, member: Any, start: Callable[[], Any]) -> None:
        member.process.kill()
        self._later(group.miss(member))
        await asyncio.sleep(self.chance.uniform(0.1, 15.0))
        await start()

    def _later(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _one(self, group: Group) -> Any:
        alive = [member for member in group.members if member.process.alive]
        return self.chance.choice(alive) if alive else None

    # Faults

    async def _kill_projector(self) -> None:
        if member := self._one(self.projectors):
            self._later(self._end(self.projectors, member, self._start_projector))

    async def _kill_writer(self) -> None:
        if member := self._one(self.writers):
            self._later(self._end(self.writers, member, self._start_writer))

    async def _another_projector(self) -> None:
        self._later(self._start_projector())

    async def _another_writer(self) -> None:
        self._later(self._start_writer())

    async def _one_projector_less(self) -> None:
        await self._one_less(self.projectors)

    async def _one_writer_less(self) -> None:
        await self._one_less(self.writers)

    async def _one_less(self, group: Group) -> None:
        if len([one for one in group.members if one.process.alive]) > 1 and (member := self._one(group)):
            await group.leave(member)
            member.process.kill()

    async def _rebalance(self) -> None:
        await self.chance.choice((self.projectors, self.writers)).shake()

    async def _lost_commits(self) -> None:
        """A group is set up anew from an older copy of what it has committed."""
        group = self.chance.choice((self.projectors, self.writers))
        self.broker.lose_commits(group.name)
        await group.shake()

    async def _reset_offsets(self) -> None:
        """An operator stops the projectors, moves their offsets back, and starts one again."""
        for member in list(self.projectors.members):
            await self.projectors.leave(member)
            member.process.kill()
        await asyncio.sleep(self.chance.uniform(0.0, 3.0))
        for partition in range(PARTITIONS):
            place = (topics.STRIPE_EVENTS, partition)
            until, _ = self.broker.position(topics.PROJECTOR_GROUP, place)
            back = self.chance.randint(0, until)
            self.broker.committed[topics.PROJECTOR_GROUP, place] = (back, "")
        await self._start_projector()

    async def _kafka(self) -> None:
        self.broker.trouble = 0.5
        self._until(lambda: setattr(self.broker, "trouble", 0.0))

    async def _stripe_away(self) -> None:
        self.stripe.trouble = 0.9
        self._until(lambda: setattr(self.stripe, "trouble", 0.0))

    async def _no_answer(self) -> None:
        for name in ("upsert", "query"):
            self.salesforce.fail(name, no_answer(), times=self.chance.randint(1, 4))

    async def _no_answer_after_applying(self) -> None:
        for name in self.chance.choice(
            (("upsert",), ("upsert", "stamp", "create_job", "upload", "start_job"))
        ):
            self.salesforce.fail(name, no_answer(), times=self.chance.randint(1, 3), after=True)

    async def _locked_rows(self) -> None:
        customers = [key for key in expected.customers(self.world) if self.chance.random() < 0.6]
        for key in customers:
            for object_ in ("Account", "Contact"):
                self.salesforce.refuse(
                    f"{object_}:{key}", "UNABLE_TO_LOCK_ROW", "unable to obtain lock", times=2
                )

    async def _quota(self) -> None:
        self.salesforce.limit = self.salesforce.used
        self._until(lambda: setattr(self.salesforce, "limit", 100_000))

    async def _slow(self) -> None:
        async def before(operation: str) -> None:
            await asyncio.sleep(self.chance.uniform(0.0, 25.0))

        self.salesforce.before = before
        self._until(lambda: setattr(self.salesforce, "before", None))

    def _until(self, over: Callable[[], None]) -> None:
        async def wait() -> None:
            await asyncio.sleep(self.chance.uniform(0.5, 20.0))
            over()

        self._later(wait())

    def _mend(self) -> None:
        self.broker.trouble = self.stripe.trouble = 0.0
        self.salesforce.before = None
        self.salesforce.limit = 100_000
        self.salesforce.faults.clear()
        self.salesforce.refusals.clear()

    # The end

    async def _rest(self) -> None:
        """Until both groups have committed all that there is, for a while."""
        loop = asyncio.get_running_loop()
        deadline, quiet = loop.time() + REST_WITHIN, 0
        while quiet < 10:
            await asyncio.sleep(1.0)
            quiet = quiet + 1 if not self._behind() else 0
            if loop.time() > deadline:
                raise Wrong(f"seed {self.seed}: it does not come to rest: {self._behind()}; {self.faults}")

    def _behind(self) -> dict[str, int]:
        found = {}
        for group, of in (
            (topics.PROJECTOR_GROUP, SOURCES),
            (topics.WRITER_GROUP, (topics.SALESFORCE_WRITES,)),
        ):
            for topic in of:
                for partition in range(PARTITIONS):
                    place = (topic, partition)
                    if left := self.broker.end(place) - self.broker.position(group, place)[0]:
                        found[f"{topic}/{partition}"] = left
        return found

    def _check(self) -> None:
        wrong = [*self._of_records(), *self._of_events(), *self._of_notices()]
        if wrong:
            told = "\n".join(wrong[:8])
            raise Wrong(f"seed {self.seed}: {len(wrong)} wrong:\n{told}\nfaults: {self.faults}")

    def _of_records(self) -> Iterator[str]:
        """Salesforce holds what the simulator's truth says, and nothing else."""
        for name, wanted in expected.records(self.world).items():
            if name == "CampaignMember":
                continue  # nobody is won back without a Campaign
            told = {
                key: it for key, it in wanted.items() if name != "Opportunity" or "Stripe_Movement__c" in it
            }
            field = KEY if name in ("Account", "Contact") else expected.STRIPE_ID
            rows = [_kept(row) for row in self.salesforce.records.get(name, {}).values() if row.get(field)]
            _, differing = expected.compare(told, expected.key_all(name, rows), self._kept.get(name, {}))
            yield from (f"{name} {line}" for line in differing)

    def _of_events(self) -> Iterator[str]:
        """Every accepted event that a workflow is about has an outcome."""
        accounted = set()
        for record in self._all(topics.SALESFORCE_RESULTS):
            accounted |= {event.id for event in decode_result(record.value or b"").events}
        for record in self._all(topics.DEAD_LETTERS):
            yield f"a dead letter: {dict(record.headers).get('revstream.errors.message', b'').decode()}"
        for event in self.world.events:
            ours = event.type.rpartition(".")[0] in ("customer", "customer.subscription")
            if (ours or money.concerns(event, self.world)) and event.id not in accounted:
                yield f"{event.type} {event.id} is not accounted for"

    def _of_notices(self) -> Iterator[str]:
        """A replay mutes nothing that was not told before."""
        told = set()
        for record in self._all(topics.NOTICES):
            notice = decode_notice(record.value or b"")
            if REPLAY not in record.headers:
                told.add(notice.id)
            elif notice.id not in told:
                yield f"notice {notice.id} is muted and was not told before"

    def _all(self, topic: str) -> Iterator[Any]:
        for partition in range(PARTITIONS):
            yield from self.broker.logs[topic, partition]


def _kept(row: dict[str, Any]) -> dict[str, Any]:
    """A record as an org keeps it: the fake one does not round."""
    return {**row, "Amount": two_decimals(row["Amount"])} if row.get("Amount") is not None else row


def simulate(seed: int) -> Run:
    """Plays one seed. Raises Wrong. Whatever it does, it does the same again: time and chance are its own."""
    loop = VirtualLoop()
    chance = random.getstate()
    random.seed(seed)
    asyncio.set_event_loop(loop)
    try:
        with patch("time.monotonic", loop.time), patch("time.time", loop.wall):
            return loop.run_until_complete(_play(seed))
    finally:
        _end(loop)
        asyncio.set_event_loop(None)
        loop.close()
        random.setstate(chance)


async def _play(seed: int) -> Run:
    run = Run(seed)
    await run.play()
    return run


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Whatever is still at work is not of interest any more."""
    for task in asyncio.all_tasks(loop):
        task.cancel()
    with contextlib.suppress(Stuck):
        loop.run_until_complete(asyncio.sleep(0))
