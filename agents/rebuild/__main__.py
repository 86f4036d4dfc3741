"""`python -m agents.rebuild`: the command."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack
from typing import Any, Self

import click
import msgspec

from agents import mapping, policies
from agents.rebuild.differences import Difference
from agents.rebuild.partition import Partition
from agents.rebuild.source import Source
from agents.stock import Stock
from stream import topics
from stream.commands import options
from stream.commands.move import members
from stream.commands.question import confirmed
from stream.commands.told import (
    ACTIVE,
    DONE,
    EXIT_CODES,
    REFUSED,
    Refusal,
    Standing,
    run,
    say_json,
    say_table,
    when,
)
from stream.kafka import client
from stream.kafka.batches import BatchProducer
from stream.kafka.guard import Guard
from stream.kafka.offsets import Offsets
from stream.settings import Kafka, Settings
from stream.stripe.api import StripeApi

BATCH = 5000
KINDS = {
    "full": "told in full by the log",
    "part": "older than the log: what it tells no older of is taken from it",
    "silent": "not in the log: their rows stay",
    "broken": "not in the log, with rows that cannot be read: restore these",
    "unknown": "whose creation neither the log nor a row tells: replay them afterwards",
    "moving": "with events that are not worked on yet: left out",
}


class Sum(msgspec.Struct):
    """What came of all partitions. `new` and `changed` count records by object, `rows` rows by table."""

    dry: bool
    events: int = 0
    oldest: int | None = None
    customers: Counter[str] = msgspec.field(default_factory=Counter)
    rows: Counter[str] = msgspec.field(default_factory=Counter)
    new: Counter[str] = msgspec.field(default_factory=Counter)
    changed: Counter[str] = msgspec.field(default_factory=Counter)
    untold: list[str] = []
    departed: list[str] = []
    differences: list[Difference] = []

    def add(self, partition: Partition, limit: int) -> None:
        """Counts a partition in; of its differences no more are kept than are shown."""
        log = partition.log
        self.events += log.end - log.start
        self.oldest = min(filter(None, (self.oldest, log.oldest)), default=None)
        self.customers += partition.customers
        self.rows += Counter(change.topic for change in partition.changes())
        found = partition.differences
        self.new += Counter(one.after.object for one in found if one.before is None)
        self.changed += Counter(one.after.object for one in found if one.before is not None)
        self.untold += partition.untold
        self.departed += partition.departed
        self.differences += found[: limit - len(self.differences)]


@click.command(epilog=EXIT_CODES)
@click.option("--dry-run", is_flag=True, help="Only print what would be sent. The projector may run.")
@click.option("--limit", default=20, show_default=True, help="How many differences to print.")
@options.wait
@options.yes
@options.as_json
def rebuild(dry_run: bool, limit: int, wait: float, yes: bool, as_json: bool) -> None:
    """Folds the tables anew from the log, beside the old ones, and sends only the records that come out otherwise.

    A row is never worse for it: what the log does not reach back to stays as it is. Nobody is told of anything. No
    projector may run meanwhile, and none is let in; the other stages may. Whenever it was stopped, run it again.
    """

    standing = Standing()

    async def work(settings: Settings) -> int:
        mapping.check(settings.mapping)
        policies.check(settings)
        stripe = StripeApi(settings.stripe)
        told = Sum(dry_run)
        try:
            async with AsyncExitStack() as stack:
                cluster = await stack.enter_async_context(Offsets(settings.kafka))
                group = await cluster.until_inactive(topics.PROJECTOR_GROUP, 0 if dry_run else wait)
                send = None
                if not dry_run:
                    if group.active:
                        raise Refusal(ACTIVE, members(topics.PROJECTOR_GROUP, group))
                    if not yes and not await confirmed("Send what differs? --dry-run says what it is."):
                        raise Refusal(REFUSED, "Nothing was sent.")
                    standing.told = "What was sent is sent; the same command does the rest."
                    send = await stack.enter_async_context(Sending(settings.kafka, cluster))
                source = Source(settings, cluster, Stock(stripe), live=group.active)
                await source.read_catalogue()
                async for partition in source.partitions():
                    if send:
                        await send.all_of(partition)
                    told.add(partition, limit)
        finally:
            await stripe.close()
        _say(told, as_json=as_json)
        return DONE

    run(work, standing)


class Sending:
    """Puts what differs in its place, while nobody else works on it."""

    def __init__(self, kafka: Kafka, cluster: Offsets) -> None:
        self._producer = BatchProducer(client.options(kafka))
        self._guard = Guard(kafka, cluster, topics.PROJECTOR_GROUP, topics.STRIPE_EVENTS)

    async def __aenter__(self) -> Self:
        await self._producer.start()
        try:
            await self._guard.__aenter__()
        except BaseException:
            await self._producer.stop()
            raise
        return self

    async def __aexit__(self, *of: Any) -> None:
        await self._guard.__aexit__(*of)
        await self._producer.stop()

    async def all_of(self, partition: Partition) -> None:
        """Records first: whoever begins again after a crash in between finds that they have been asked for, and
        rows that are still to be mended."""
        for records in (list(partition.writes()), list(partition.changes())):
            for at in range(0, len(records), BATCH):
                await self._guard.check()
                await self._producer.send(records[at : at + BATCH])


def _say(told: Sum, *, as_json: bool) -> None:
    if as_json:
        shown = [
            {
                "record": one.after.key,
                "account": one.after.account,
                "new": one.before is None,
                "fields": {name: {"before": was, "after": now} for name, (was, now) in one.fields.items()},
            }
            for one in told.differences
        ]
        counts = {
            "customers": {kind: told.customers[kind] for kind in KINDS},
            "rows": {table: told.rows[topics.changelog(table)] for table in topics.TABLES},
        }
        say_json({**msgspec.structs.asdict(told), **counts, "differences": shown})
        return
    click.echo(f"{told.events} events, the oldest of {when(told.oldest)}; customers:")
    for kind, meaning in KINDS.items():
        click.echo(f"  {told.customers[kind]:>9}  {meaning}")
    click.echo("\nrows that differ:")
    for table in topics.TABLES:
        click.echo(f"  {told.rows[topics.changelog(table)]:>9}  {table}")
    click.echo("")
    objects = sorted({*told.new, *told.changed})
    say_table(("OBJECT", "NEW", "CHANGED"), [(name, told.new[name], told.changed[name]) for name in objects])
    for one in told.differences:
        click.echo("\n" + "\n".join(one.lines()))
    total = told.new.total() + told.changed.total()
    if total > len(told.differences):
        click.echo(f"\nand {total - len(told.differences)} more; --limit shows them")
    if told.untold:
        click.echo(
            f"\n{len(told.untold)} records that nothing tells of any more stay: {' '.join(told.untold[:20])}"
        )
    if told.departed:
        click.echo(
            f"\n{len(told.departed)} customers have left, as it comes out now. Nothing is closed for them "
            f"before Stripe was asked: revstream replay --customer does that. {' '.join(told.departed[:20])}"
        )
    click.echo("\nNothing is changed." if told.dry else f"\n{total} records are sent, and the rows changed.")


if __name__ == "__main__":
    rebuild(prog_name="revstream rebuild")
