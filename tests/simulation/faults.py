"""What goes wrong in a run: twenty-one ways, each at once or for a while. All are over before the check."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from stream import topics
from stream.sandbox import expected
from tests.fakes.salesforce import no_answer
from tests.simulation.clock import VirtualLoop
from tests.simulation.kafka import Group

if TYPE_CHECKING:
    from tests.simulation.run import Run

Fault = Callable[["Run"], Awaitable[None]]

# Steps after which a process is killed where it stands: sends, commits, and calls of Salesforce.
MOST_STEPS = 12


async def crash_projector(run: Run) -> None:
    _crash(run, run.projectors)


async def crash_writer(run: Run) -> None:
    _crash(run, run.writers)


async def crash_notifier(run: Run) -> None:
    _crash(run, run.notifiers)


def _crash(run: Run, group: Group) -> None:
    if member := run.one(group):
        if run.chance.random() < 0.5:
            member.process.doom(run.chance.randint(1, MOST_STEPS))
        else:  # where what was acknowledged too early shows
            member.process.doom(run.chance.randint(1, 2), after_commit=True)


async def another_projector(run: Run) -> None:
    run.later(run.start_projector())


async def another_writer(run: Run) -> None:
    run.later(run.start_writer())


async def another_notifier(run: Run) -> None:
    run.later(run.start_notifier())


async def one_projector_less(run: Run) -> None:
    await _one_less(run, run.projectors)


async def one_writer_less(run: Run) -> None:
    await _one_less(run, run.writers)


async def one_notifier_less(run: Run) -> None:
    await _one_less(run, run.notifiers)


async def _one_less(run: Run, group: Group) -> None:
    if len([one for one in group.members if one.process.alive]) > 1 and (member := run.one(group)):
        await group.leave(member)
        member.process.retire()


async def rebalance(run: Run) -> None:
    await run.chance.choice((run.projectors, run.writers, run.notifiers)).shake()


async def lost_commits(run: Run) -> None:
    """A group is set up anew from an older copy of what it has committed."""
    group = run.chance.choice((run.projectors, run.writers, run.notifiers))
    run.broker.lose_commits(group.name)
    await group.shake()


async def offset_reset(run: Run) -> None:
    """An operator stops the projectors, moves their offsets back, and starts one again."""
    for member in list(run.projectors.members):
        await run.projectors.leave(member)
        member.process.retire()
    await asyncio.sleep(run.chance.uniform(0.0, 3.0))
    for partition in range(run.broker.partitions):
        place = (topics.STRIPE_EVENTS, partition)
        until, _ = run.broker.position(topics.PROJECTOR_GROUP, place)
        back = run.chance.randint(0, until)
        run.broker.committed[topics.PROJECTOR_GROUP, place] = (back, "")
    await run.start_projector()


async def kafka_troubled(run: Run) -> None:
    run.broker.trouble = 0.5
    _until(run, lambda: setattr(run.broker, "trouble", 0.0))


async def stripe_away(run: Run) -> None:
    run.stripe.trouble = 0.9
    _until(run, lambda: setattr(run.stripe, "trouble", 0.0))


async def no_answer_before_applying(run: Run) -> None:
    for name in ("upsert", "query"):
        run.salesforce.fail(name, no_answer(), times=run.chance.randint(1, 4))


async def no_answer_after_applying(run: Run) -> None:
    for name in run.chance.choice((("upsert",), ("upsert", "stamp", "create_job", "upload", "start_job"))):
        run.salesforce.fail(name, no_answer(), times=run.chance.randint(1, 3), after=True)


async def locked_rows(run: Run) -> None:
    """Some rows of a call are refused, and the others pass."""
    for key in expected.customers(run.world):
        if run.chance.random() < 0.6:
            for object_ in ("Account", "Contact"):
                run.salesforce.refuse(
                    f"{object_}:{key}", "UNABLE_TO_LOCK_ROW", "unable to obtain lock", times=2
                )


async def quota_spent(run: Run) -> None:
    run.salesforce.limit = run.salesforce.used
    _until(run, lambda: setattr(run.salesforce, "limit", LIMIT))


async def slow_salesforce(run: Run) -> None:
    async def before(operation: str) -> None:
        await asyncio.sleep(run.chance.uniform(0.0, 10.0))

    run.salesforce.before = before
    _until(run, lambda: setattr(run.salesforce, "before", None))


async def channel_troubled(run: Run) -> None:
    run.people.trouble = 0.5
    _until(run, lambda: setattr(run.people, "trouble", 0.0))


async def clock_step(run: Run) -> None:
    """The machines' clocks are set, up to two hours back or ahead."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.ahead += run.chance.uniform(-7200.0, 7200.0)


LIMIT = 100_000

# Crashes stand twice: they may come between any two steps, so there is more of them to see.
FAULTS: tuple[Fault, ...] = (
    crash_projector, crash_projector, crash_writer, crash_writer, crash_notifier, crash_notifier,
    another_projector, another_writer, another_notifier,
    one_projector_less, one_writer_less, one_notifier_less,
    rebalance, lost_commits, offset_reset, kafka_troubled, stripe_away, channel_troubled,
    no_answer_before_applying, no_answer_after_applying, locked_rows, quota_spent, slow_salesforce, clock_step,
)  # fmt: skip


def _until(run: Run, over: Callable[[], None]) -> None:
    async def wait() -> None:
        await asyncio.sleep(run.chance.uniform(0.5, 20.0))
        over()

    run.later(wait())


def mend(run: Run) -> None:
    """Ends all that is still going wrong."""
    run.broker.trouble = run.stripe.trouble = run.people.trouble = 0.0
    run.salesforce.before = None
    run.salesforce.limit = LIMIT
    run.salesforce.faults.clear()
    run.salesforce.refusals.clear()
