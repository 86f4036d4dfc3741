"""`revstream replay`: chosen events once more, without touching a group's offsets."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import click
import msgspec

from stream import topics
from stream.commands.told import DONE, EXIT_CODES, MISUSED, REFUSED, Refusal, run, say_json
from stream.kafka.batches import BatchProducer, Record
from stream.kafka.client import options
from stream.kafka.plan import PlanError, read_time
from stream.kafka.scan import Ranges, ranges, scan
from stream.records import REPLAY
from stream.salesforce.estimate import estimate
from stream.settings import Kafka, Settings

BATCH = 500


class Chosen(msgspec.Struct, frozen=True):
    """Which events are meant: those that pass every filter given. Times are epoch milliseconds."""

    customer: str | None = None
    event: str | None = None
    type: str | None = None
    until: int | None = None

    def takes(self, key: bytes | None, headers: dict[str, bytes], timestamp: int) -> bool:
        """Whether an event passes. One that is itself a replay does not: its original is there, too."""
        return (
            REPLAY[0] not in headers
            and (self.customer is None or key == self.customer.encode())
            and (self.event is None or headers.get("id") == self.event.encode())
            and (self.type is None or headers.get("type") == self.type.encode())
            and (self.until is None or timestamp < self.until)
        )


class Progress(msgspec.Struct):
    """How far a replay has come: what is left to look at, by partition, and how many were sent."""

    chosen: Chosen
    left: Ranges
    sent: int = 0


@click.command(epilog=EXIT_CODES)
@click.option("--customer", metavar="CUS", help="The customer's ID, such as cus_….")
@click.option("--event", metavar="EVT", help="One event by its ID.")
@click.option("--type", "type_", metavar="TYPE", help="Events of this type, such as customer.updated.")
@click.option("--since", metavar="TIME", help="Received at this time or later; with its zone.")
@click.option("--until", metavar="TIME", help="Received before this time; with its zone.")
@click.option(
    "--resume", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Go on from this file."
)
@click.option(
    "--progress", "file", type=click.Path(dir_okay=False, path_type=Path), help="Where to keep how far it is."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be sent again.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def replay(
    customer: str | None,
    event: str | None,
    type_: str | None,
    since: str | None,
    until: str | None,
    resume: Path | None,
    file: Path | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Sends chosen events once more, exactly as they came, marked as a replay.

    Says first what that comes to. After Ctrl-C, --resume goes on from the progress file. For events that were
    set aside see `revstream dead-letters redrive`.
    """
    kept = resume.read_bytes() if resume else None
    target = resume or file or Path(f"revstream-replay-{int(time.time())}.json")

    async def work(settings: Settings) -> int:
        kafka = settings.kafka
        if kept is not None:
            progress = _read(kept)
        else:
            if not any((customer, event, type_, since, until)):
                raise Refusal(MISUSED, "Choose events by --customer, --event, --type, --since or --until.")
            chosen = Chosen(customer, event, type_, _ms(until))
            progress = Progress(chosen, await ranges(kafka, topics.STRIPE_EVENTS, _ms(since)))
        types, keys = await _count(kafka, progress)
        cost = estimate(
            keys,
            len(settings.mapping),
            bulk_from=settings.writer.bulk_from_rows,
            concurrency=settings.salesforce.concurrency,
            share=settings.salesforce.budget_share,
            usage=None,
        )
        plan = {
            "events": types.total(),
            "types": dict(types.most_common()),
            "customers": keys,
            "salesforce": cost,
        }
        if not as_json:
            click.echo(
                f"{types.total()} events of {keys} customers; some {cost.calls} API calls, {cost.minutes} minutes."
            )
            for kind, count in types.most_common():
                click.echo(f"  {count:>9}  {kind}")
        if not dry_run and types:
            if not yes and not click.confirm("Send them again?", err=True):
                raise Refusal(REFUSED, "Nothing was sent.")
            await _send(kafka, progress, types.total() + progress.sent, target)
        if as_json:
            say_json({**plan, "sent": progress.sent})
        return DONE

    run(work)


def _ms(text: str | None) -> int | None:
    return int(read_time(text).timestamp() * 1000) if text else None


def _read(kept: bytes) -> Progress:
    try:
        return msgspec.json.decode(kept, type=Progress)
    except msgspec.DecodeError as error:
        raise PlanError(f"This is no progress file of a replay: {error}.") from None


def _keep(target: Path, progress: Progress) -> None:
    """Replaces the file as a whole: a stop in the middle must not leave half of one."""
    fresh = target.with_name(f"{target.name}.new")
    fresh.write_bytes(msgspec.json.encode(progress))
    fresh.replace(target)


async def _count(kafka: Kafka, progress: Progress) -> tuple[Counter[str], int]:
    types: Counter[str] = Counter()
    keys = set()
    async for record in scan(kafka, topics.STRIPE_EVENTS, progress.left):
        headers = dict(record.headers)
        if progress.chosen.takes(record.key, headers, record.timestamp):
            types[headers.get("type", b"").decode(errors="replace")] += 1
            keys.add(record.key)
    return types, len(keys)


async def _send(kafka: Kafka, progress: Progress, total: int, target: Path) -> None:
    """In batches; the file says how far they are durable, so that a stop sends at most one batch twice."""
    producer = BatchProducer(options(kafka))
    await producer.start()
    wanted = dict(progress.left)
    batch: list[Record] = []
    seen: dict[int, int] = {}

    async def flush() -> None:
        await producer.send(batch)
        progress.sent += len(batch)
        batch.clear()
        progress.left |= {partition: (at, wanted[partition][1]) for partition, at in seen.items()}
        _keep(target, progress)
        click.echo(f"{progress.sent} of {total} sent; --resume {target} goes on from here", err=True)

    try:
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
