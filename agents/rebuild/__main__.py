"""`python -m agents.rebuild`: the command."""

from __future__ import annotations

from collections import Counter

import click
import msgspec

from agents import mapping, policies
from agents.rebuild.differences import Difference
from agents.rebuild.partition import Partition
from agents.rebuild.source import Source
from agents.stock import Stock
from stream import topics
from stream.commands.told import DONE, EXIT_CODES, run, say_json, say_table, when
from stream.kafka.offsets import Offsets
from stream.settings import Settings
from stream.stripe.api import StripeApi

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
        self.differences += found[: limit - len(self.differences)]


@click.command(epilog=EXIT_CODES)
@click.option("--dry-run", is_flag=True, help="Only print what would be sent. The projector may run.")
@click.option("--limit", default=20, show_default=True, help="How many differences to print.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def rebuild(dry_run: bool, limit: int, as_json: bool) -> None:
    """Folds the tables anew from the log, and finds the records that come out otherwise.

    A row is never worse for it: what the log does not reach back to stays as it is. Nobody is told of anything.
    """

    if not dry_run:
        raise click.UsageError("Give --dry-run: what is found is only told.")

    async def work(settings: Settings) -> int:
        mapping.check(settings.mapping)
        policies.check(settings)
        stripe = StripeApi(settings.stripe)
        told = Sum(dry_run)
        try:
            async with Offsets(settings.kafka) as cluster:
                live = (await cluster.group(topics.PROJECTOR_GROUP)).active
                source = Source(settings, cluster, Stock(stripe), live=live)
                await source.read_catalogue()
                async for partition in source.partitions():
                    told.add(partition, limit)
        finally:
            await stripe.close()
        _say(told, as_json=as_json)
        return DONE

    run(work)


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
    if told.dry:
        click.echo("\nNothing is changed.")


if __name__ == "__main__":
    rebuild(prog_name="revstream rebuild")
