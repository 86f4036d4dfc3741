"""`revstream backfill`: what Stripe has told and the gateway never got, into the log as if it had."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from stream import backfill as backfills
from stream.backfill import SKEW_SECONDS, Gap, Wanted
from stream.commands import cost as costs
from stream.commands import options
from stream.commands.cost import BATCH
from stream.commands.question import confirmed
from stream.commands.told import (
    DONE,
    EXIT_CODES,
    FAILED,
    REFUSED,
    Refusal,
    Standing,
    run,
    say_json,
    when,
)
from stream.kafka import client
from stream.kafka.batches import BatchProducer, Record, partition_of
from stream.kafka.plan import read_time
from stream.kafka.scan import ranges, scan
from stream.settings import Kafka, Settings, missing
from stream.stripe import routing
from stream.stripe.envelope import EnvelopeError
from stream.topics import STRIPE_EVENTS

if TYPE_CHECKING:
    from stream.stripe.api import StripeApi

TELL_EVERY = 5000
AGAIN = "The same command goes on: what the log holds is not appended again."


@click.command(epilog=EXIT_CODES)
@click.option("--since", required=True, metavar="TIME", help="Created at this time or later; with its zone.")
@click.option("--until", metavar="TIME", help="Created before this time; with its zone.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Of this type alone; may be repeated.")
@click.option("--customer", metavar="CUS", help="The customer's ID, such as cus_….")
@click.option(
    "--account",
    "accounts",
    multiple=True,
    metavar="ACCT",
    help="Of this connected account instead of your own; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be appended.")
@options.yes
@options.as_json
def backfill(
    since: str,
    until: str | None,
    types: tuple[str, ...],
    customer: str | None,
    accounts: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Asks Stripe for its events, and appends to the log those that never came, oldest first.

    Says first what that comes to. Stripe lists 30 days; STRIPE_API_KEY is to be the key of the events' account and
    mode. Whenever it was stopped, give the same command again. No stage need be stopped.
    """
    standing = Standing("Nothing was appended.")

    async def work(settings: Settings) -> int:
        # The SDK takes half a second to import, which other commands need not wait for.
        from stream.stripe.api import NoAnswer, StripeApi

        now = datetime.now(UTC)
        wanted = backfills.wanted(read_time(since), read_time(until) if until else None, types, customer, now)
        if not settings.stripe.api_key:
            raise missing("stripe", "api_key", "Stripe is to be asked for its events (read access is enough)")
        await ranges(settings.kafka, STRIPE_EVENTS)  # before Stripe's list, which takes minutes
        stripe = StripeApi(settings.stripe)
        try:
            gap = await _listed(stripe, wanted, accounts)
            partitions = await _compare(settings.kafka, wanted, gap)
            plan = await _plan(settings, gap, partitions)
            if not as_json:
                _tell(plan, settings.notify.oldest_hours)
            sent = 0
            if gap.events and not dry_run:
                if not yes and not await confirmed("Append them?"):
                    raise Refusal(REFUSED, "Nothing was appended.")
                sent = await _append(settings.kafka, stripe, wanted, gap, partitions, standing)
        except (NoAnswer, EnvelopeError) as error:
            raise Refusal(FAILED, f"{error} {standing.told}") from None
        finally:
            await stripe.close()
        if as_json:
            say_json({**plan, "sent": sent})
        return DONE

    run(work, standing)


async def _listed(stripe: StripeApi, wanted: Wanted, accounts: tuple[str, ...]) -> Gap:
    from stream.stripe.listing import newest_first

    gap = Gap()
    for account in accounts or (None,):
        async for one in newest_first(stripe, wanted, account):
            gap.add(account, one.event)
            if gap.listed % TELL_EVERY == 0:
                at = when(one.event.created * 1000)
                click.echo(f"{gap.listed} listed by Stripe, back to {at}", err=True)
    return gap


async def _compare(kafka: Kafka, wanted: Wanted, gap: Gap) -> int:
    """Leaves what the log lacks; gives the number of its partitions."""
    held = await ranges(kafka, STRIPE_EVENTS, (wanted.since - SKEW_SECONDS) * 1000)
    if gap.listed:
        async for record in scan(kafka, STRIPE_EVENTS, held):
            gap.drop(dict(record.headers).get("id", b"").decode(errors="replace"))
    return len(held)


async def _plan(settings: Settings, gap: Gap, partitions: int) -> dict[str, Any]:
    events = gap.events
    keys = {told.key.encode() for told in events}
    total = len(events)
    told_from = time.time() - settings.notify.oldest_hours * 3600
    return {
        "listed": gap.listed,
        "held": gap.listed - total,
        "events": total,
        "types": dict(gap.types.most_common()),
        "customers": len(keys),
        "first": min((told.created for told in events), default=None),
        "last": max((told.created for told in events), default=None),
        "recent": sum(told.created >= told_from for told in events),
        "salesforce": await costs.of_events(settings, keys, total, partitions),
    }


def _tell(plan: dict[str, Any], hours: float) -> None:
    click.echo(f"Stripe lists {plan['listed']} events; the log holds {plan['held']} of them.")
    if not plan["events"]:
        return
    first, last = when(plan["first"] * 1000), when(plan["last"] * 1000)
    click.echo(
        f"It lacks {plan['events']}, created {first} to {last}, of {plan['customers']} customers or objects "
        f"without one. Salesforce: {plan['salesforce'].told}."
    )
    for kind, count in plan["types"].items():
        click.echo(f"  {count:>9}  {kind}")
    click.echo(
        f"People are told of what happened in the last {hours:g} hours (NOTIFY_OLDEST_HOURS): of "
        f"{plan['recent']} of these at most."
    )


async def _append(
    kafka: Kafka, stripe: StripeApi, wanted: Wanted, gap: Gap, partitions: int, standing: Standing
) -> int:
    """In batches, each durable before the next: whoever begins again finds them in the log."""
    from stream.stripe.listing import oldest_first

    total, sent = len(gap.events), 0
    producer = BatchProducer(client.options(kafka))
    batch: list[Record] = []

    async def flush() -> None:
        nonlocal sent
        await producer.send(batch)
        sent += len(batch)
        batch.clear()
        standing.told = f"{sent} of {total} were appended, and at most {BATCH} more. {AGAIN}"
        click.echo(f"{sent} of {total} appended", err=True)

    try:
        await producer.start()
        for account, lacking in gap.lacking.items():
            if (first := gap.oldest(account)) is None:
                continue
            async for one in oldest_first(stripe, wanted, account, first):
                if lacking.pop(one.event.id, None) is None:
                    continue
                received_at = int(time.time() * 1000)
                key = routing.key(one.event).encode()
                headers = tuple(routing.headers(one.event, received_at))
                place = partition_of(key, partitions)
                batch.append(Record(STRIPE_EVENTS, place, key, one.body, headers, received_at))
                if len(batch) == BATCH:
                    await flush()
                if not lacking:
                    break
        if batch:
            await flush()
    finally:
        await producer.stop()
    if left := len(gap.events):
        raise Refusal(FAILED, f"Stripe did not list {left} events the second time. {standing.told}")
    return sent
