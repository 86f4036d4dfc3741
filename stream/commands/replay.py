"""`revstream replay`: chosen events once more, without touching a group's offsets."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import click

from stream import replay as replays
from stream import topics
from stream.commands import cost as costs
from stream.commands import options
from stream.commands.cost import BATCH
from stream.commands.question import confirmed
from stream.commands.told import (
    DONE,
    EXIT_CODES,
    MISUSED,
    REFUSED,
    Refusal,
    Standing,
    run,
    say_json,
)
from stream.control import Closed
from stream.kafka import client
from stream.kafka.batches import BatchProducer, Record
from stream.kafka.control import give
from stream.kafka.letters import find
from stream.kafka.plan import read_time
from stream.kafka.scan import ranges, scan
from stream.letters import Wanted
from stream.records import REPLAY
from stream.replay import Chosen, Progress, keep, read
from stream.settings import Kafka, Settings

REASON = "Its events were replayed."


@click.command(epilog=EXIT_CODES)
@click.option("--customer", metavar="CUS", help="The customer's ID, such as cus_….")
@click.option("--event", metavar="EVT", help="One event by its ID.")
@click.option("--type", "type_", metavar="TYPE", help="Events of this type, such as customer.updated.")
@click.option("--since", metavar="TIME", help="Received at this time or later; with its zone.")
@click.option("--until", metavar="TIME", help="Received before this time; with its zone.")
@click.option("--dead-letters", "of_letters", is_flag=True, help="Those that open dead letters came of.")
@click.option(
    "--resume", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Go on from this file."
)
@click.option(
    "--progress", "file", type=click.Path(dir_okay=False, path_type=Path), help="Where to keep how far it is."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be sent again.")
@options.yes
@options.as_json
def replay(
    customer: str | None,
    event: str | None,
    type_: str | None,
    since: str | None,
    until: str | None,
    of_letters: bool,
    resume: Path | None,
    file: Path | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Sends chosen events once more, exactly as they came, marked as a replay.

    Says first what that comes to. After Ctrl-C, --resume goes on from the progress file. With --dead-letters what
    was set aside is worked out anew, and the letters are closed; `revstream dead-letters redrive` sends them as
    they were.
    """
    kept = resume.read_bytes() if resume else None
    target = resume or file or Path(f"revstream-replay-{int(time.time())}.json")
    standing = Standing("Nothing was sent.")

    async def work(settings: Settings) -> int:
        kafka = settings.kafka
        if kept is not None:
            progress, open_ = read(kept), []
        else:
            if not any((customer, event, type_, since, until, of_letters)):
                raise Refusal(
                    MISUSED,
                    "Choose events by --customer, --event, --type, --since, --until or --dead-letters.",
                )
            open_ = await find(kafka, Wanted()) if of_letters else []
            events = replays.of_letters(open_) if of_letters else None
            chosen = Chosen(customer, event, type_, _ms(until), events)
            progress = Progress(chosen, await ranges(kafka, topics.STRIPE_EVENTS, _ms(since)))
        types, keys, ids = await _count(kafka, progress)
        if open_:
            progress.letters = replays.replayed(open_, ids)
        total = types.total()
        chosen_ids = ids if progress.chosen.narrow else None
        cost = await costs.of_events(settings, keys, total, kafka.partitions, chosen_ids)
        plan = {
            "events": total,
            "types": dict(types.most_common()),
            "customers": len(keys),
            "salesforce": cost,
            "letters": len(progress.letters),
        }
        if not as_json:
            click.echo(f"{total} events of {len(keys)} customers. Salesforce: {cost.told}.")
            for kind, count in types.most_common():
                click.echo(f"  {count:>9}  {kind}")
            if of_letters:
                click.echo(f"{len(progress.letters)} of {len(open_)} open dead letters are closed by that.")
        if not dry_run and types:
            if not yes and not await confirmed("Send them again?"):
                raise Refusal(REFUSED, "Nothing was sent.")
            await _send(kafka, progress, total + progress.sent, target, standing)
        if not dry_run and progress.letters:
            now = int(time.time() * 1000)
            await give(kafka, [Closed(*place, "replayed", REASON, now) for place in progress.letters])
        if as_json:
            say_json({**plan, "sent": progress.sent})
        return DONE

    run(work, standing)


def _ms(text: str | None) -> int | None:
    return int(read_time(text).timestamp() * 1000) if text else None


def _standing(progress: Progress, total: int, target: Path) -> str:
    return (
        f"{progress.sent} of {total} were sent, and at most {BATCH} more: "
        f"revstream replay --resume {target} goes on."
    )


async def _count(kafka: Kafka, progress: Progress) -> tuple[Counter[str], set[bytes], frozenset[str]]:
    """Events by type, the customers that they are of, and their IDs."""
    types: Counter[str] = Counter()
    keys: set[bytes] = set()
    ids = set()
    async for record in scan(kafka, topics.STRIPE_EVENTS, progress.left):
        headers = dict(record.headers)
        if progress.chosen.takes(record.key, headers, record.timestamp):
            types[headers.get("type", b"").decode(errors="replace")] += 1
            keys.add(record.key or b"")
            ids.add(headers.get("id", b"").decode(errors="replace"))
    return types, keys, frozenset(ids)


async def _send(kafka: Kafka, progress: Progress, total: int, target: Path, standing: Standing) -> None:
    """In batches; the file says how far they are durable, so that a stop sends at most one batch twice."""
    keep(target, progress)
    standing.told = _standing(progress, total, target)
    producer = BatchProducer(client.options(kafka))
    wanted = dict(progress.left)
    batch: list[Record] = []
    seen: dict[int, int] = {}

    async def flush() -> None:
        await producer.send(batch)
        progress.sent += len(batch)
        batch.clear()
        progress.left |= {partition: (at, wanted[partition][1]) for partition, at in seen.items()}
        keep(target, progress)
        standing.told = _standing(progress, total, target)
        click.echo(f"{progress.sent} of {total} sent", err=True)

    try:
        await producer.start()
        async for record in scan(kafka, topics.STRIPE_EVENTS, wanted):
            seen[record.partition] = record.offset + 1
            if progress.chosen.takes(record.key, dict(record.headers), record.timestamp):
                batch.append(
                    Record(
                        topics.STRIPE_EVENTS,
                        record.partition,
                        record.key,
                        record.value,
                        (*record.headers, REPLAY),
                    )
                )
                if len(batch) == BATCH:
                    await flush()
        await flush()
    finally:
        await producer.stop()
