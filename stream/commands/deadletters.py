"""`revstream dead-letters`: see what was set aside and why, send it again, or be done with it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import click

from stream import letters, topics
from stream.commands import cost as costs
from stream.commands import options
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
    say_table,
    when,
)
from stream.control import Closed
from stream.kafka import client
from stream.kafka.batches import BatchProducer
from stream.kafka.control import give
from stream.kafka.letters import find
from stream.kafka.plan import read_time
from stream.kafka.scan import ranges, scan
from stream.letters import ORIGINS, Letter, Wanted
from stream.records import decode_write
from stream.salesforce.estimate import Load
from stream.settings import Kafka, Settings

BATCH = 500

_reason = click.option("--reason", required=True, help="Kept with what becomes of them.")
_names = click.argument("names", nargs=-1, metavar="[PARTITION:OFFSET]…")


def _filters(command: Any) -> Any:
    for option in (
        click.option("--cause", help="Salesforce's status code, or ours, such as undecodable."),
        click.option("--object", "object_", help="Of this Salesforce object."),
        click.option("--stage", help="decode, project, match or write."),
        click.option("--since", metavar="TIME", help="Set aside at this time or later."),
    ):
        command = option(command)
    return command


@click.group("dead-letters", epilog=EXIT_CODES)
def dead_letters() -> None:
    """Shows what could not be written or read, sends it again, or closes it."""


def _wanted(given: dict[str, Any], names: tuple[str, ...] = ()) -> Wanted:
    since = read_time(given["since"]) if given["since"] else None
    return Wanted(
        given["cause"],
        given["object_"],
        given["stage"],
        int(since.timestamp() * 1000) if since else None,
        frozenset(names),
    )


@dead_letters.command("list", epilog=EXIT_CODES)
@_filters
@click.option("--all", "closed", is_flag=True, help="Also those that are done with.")
@click.option("--limit", default=50, show_default=True, help="Most to list; the counts are of all.")
@options.as_json
def list_(closed: bool, limit: int, as_json: bool, **given: Any) -> None:
    """Counts by cause, and the newest letters."""

    async def work(settings: Settings) -> int:
        found = await find(settings.kafka, _wanted(given), closed=closed)
        causes = Counter(letter.code for letter in found)
        newest = sorted(found, key=lambda letter: letter.failed_at, reverse=True)[:limit]
        if as_json:
            say_json({"count": len(found), "causes": dict(causes.most_common()), "letters": newest})
            return DONE
        say_table(("COUNT", "CAUSE"), [(count, cause) for cause, count in causes.most_common()])
        click.echo()
        say_table(
            ("LETTER", "FAILED AT", "STAGE", "CAUSE", "RECORD", "STATE"),
            [
                (one.name, when(one.failed_at), one.stage, one.code, one.key, one.closed or "open")
                for one in newest
            ],
        )
        return DONE

    run(work)


@dead_letters.command(epilog=EXIT_CODES)
@click.argument("name", metavar="PARTITION:OFFSET")
@click.option("--content", is_flag=True, help="Print the original record as well. It holds personal data.")
@options.as_json
def show(name: str, content: bool, as_json: bool) -> None:
    """One letter: where it comes from, and Salesforce's own words."""

    async def work(settings: Settings) -> int:
        (letter,) = await _named(settings.kafka, (name,))
        told: dict[str, Any] = {"letter": letter}
        if content:
            async for record in _originals(settings.kafka, [letter]):
                told["content"] = (record.value or b"").decode(errors="replace")
        if as_json:
            say_json(told)
            return DONE
        for field in letter.__struct_fields__:
            click.echo(f"{field:<14} {getattr(letter, field)}")
        if content:
            click.echo(told["content"])
        return DONE

    run(work)


async def _named(kafka: Kafka, names: tuple[str, ...]) -> list[Letter]:
    found = await find(kafka, Wanted(names=frozenset(names)), closed=True)
    if missing := set(names) - {letter.name for letter in found}:
        raise Refusal(MISUSED, f"There is no dead letter {', '.join(sorted(missing))}.")
    return found


async def _originals(kafka: Kafka, chosen: list[Letter]) -> Any:
    """The records of these letters, read a second time: a backlog of them need not fit into memory."""
    places = {(letter.partition, letter.offset) for letter in chosen}
    wanted = {
        partition: (
            min(o for p, o in places if p == partition),
            max(o for p, o in places if p == partition) + 1,
        )
        for partition, _ in places
    }
    async for record in scan(kafka, topics.DEAD_LETTERS, wanted):
        if (record.partition, record.offset) in places:
            yield record


async def _newest(kafka: Kafka, chosen: list[Letter]) -> dict[str, tuple[int, int]]:
    """Version and offset of the newest write of each letter's record."""
    keys = {letter.key.encode() for letter in chosen if letter.version is not None}
    partitions = {letter.partition for letter in chosen if letter.version is not None}
    held = await ranges(kafka, topics.SALESFORCE_WRITES)
    newest: dict[str, tuple[int, int]] = {}
    async for record in scan(kafka, topics.SALESFORCE_WRITES, {p: held[p] for p in partitions if p in held}):
        if record.key in keys and record.value is not None:
            try:
                at = (decode_write(record.value).version, record.offset)
            except ValueError:
                continue
            key = record.key.decode()
            newest[key] = max(at, newest.get(key, at))
    return newest


async def _chosen(settings: Settings, names: tuple[str, ...], given: dict[str, Any]) -> list[Letter]:
    if not names and not any(given.values()):
        raise Refusal(MISUSED, "Name letters, or choose them by --cause, --object, --stage or --since.")
    if names:
        await _named(settings.kafka, names)
    return await find(settings.kafka, _wanted(given, names))


@dead_letters.command(epilog=EXIT_CODES)
@_names
@_filters
@_reason
@options.yes
@options.as_json
def redrive(names: tuple[str, ...], reason: str, yes: bool, as_json: bool, **given: Any) -> None:
    """Sends originals again, unless a newer write of the same record has been asked for since."""
    standing = Standing("Nothing was sent.")

    async def work(settings: Settings) -> int:
        kafka = settings.kafka
        chosen = await _chosen(settings, names, given)
        foreign = [letter for letter in chosen if letter.origin_topic not in ORIGINS]
        if foreign:
            raise Refusal(REFUSED, f"{foreign[0].name} does not say which topic it came from; discard it.")
        old = letters.superseded(chosen, await _newest(kafka, chosen))
        go = {(letter.partition, letter.offset): letter for letter in chosen if letter.name not in old}
        cost = costs.of_load(settings, _load(settings, go.values()))
        if not yes:
            await _confirm(f"{len(go)} are sent again ({cost.told}), {len(old)} are closed as superseded.")
        now = int(time.time() * 1000)
        standing.told = "Nothing was sent; those that are superseded may be closed. The same command goes on."
        await give(
            kafka, [Closed(x.partition, x.offset, "superseded", reason, now) for x in chosen if x.name in old]
        )
        await _send_again(kafka, go, reason, standing)
        _tell({"redriven": len(go), "superseded": len(old)}, as_json)
        return DONE

    run(work, standing)


def _load(settings: Settings, chosen: Iterable[Letter]) -> Load:
    """An event may ask for a record of each object."""
    letters_ = {letter.key: letter for letter in chosen}.values()
    rows = Counter(letter.object for letter in letters_)
    events = rows.pop("", 0)
    return Load({name: rows[name] + events for name in {*rows, *(settings.mapping if events else ())}})


async def _send_again(
    kafka: Kafka, go: dict[tuple[int, int], Letter], reason: str, standing: Standing
) -> None:
    """In batches, each closed once it is durable: cut off in the middle, at most one batch is sent twice."""
    sent = 0
    producer = BatchProducer(client.options(kafka))
    try:
        await producer.start()
        batch: list[Any] = []
        async for record in _originals(kafka, list(go.values())):
            batch.append(record)
            if len(batch) == BATCH or sent + len(batch) == len(go):
                standing.told = (
                    f"{sent} of {len(go)} were sent and closed; at most {len(batch)} more were sent. "
                    "The same command goes on with the rest."
                )
                await _batch(kafka, producer, batch, go, reason)
                sent += len(batch)
                batch = []
    finally:
        await producer.stop()


async def _batch(
    kafka: Kafka,
    producer: BatchProducer,
    batch: list[Any],
    go: dict[tuple[int, int], Letter],
    reason: str,
) -> None:
    places = [(record.partition, record.offset) for record in batch]
    await producer.send(
        letters.again(go[place], record.key, record.value, record.headers)
        for place, record in zip(places, batch, strict=True)
    )
    now = int(time.time() * 1000)
    await give(kafka, [Closed(*place, "redriven", reason, now) for place in places])


@dead_letters.command(epilog=EXIT_CODES)
@_names
@_filters
@_reason
@options.yes
@options.as_json
def discard(names: tuple[str, ...], reason: str, yes: bool, as_json: bool, **given: Any) -> None:
    """Is done with letters without sending them. They stay on the topic until their time is up."""
    standing = Standing("None is closed.")

    async def work(settings: Settings) -> int:
        chosen = await _chosen(settings, names, given)
        if not yes:
            await _confirm(f"{len(chosen)} are closed and never sent.")
        now = int(time.time() * 1000)
        standing.told = "Some may be closed. The same command goes on with the rest."
        await give(
            settings.kafka, [Closed(one.partition, one.offset, "discarded", reason, now) for one in chosen]
        )
        _tell({"discarded": len(chosen)}, as_json)
        return DONE

    run(work, standing)


async def _confirm(what: str) -> None:
    click.echo(what, err=True)
    if not await confirmed("Go on?"):
        raise Refusal(REFUSED, "Nothing was done.")


def _tell(counts: dict[str, int], as_json: bool) -> None:
    if as_json:
        say_json(counts)
    else:
        click.echo(", ".join(f"{count} {how}" for how, count in counts.items()))
