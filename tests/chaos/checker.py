"""Compares every accepted event with the end state."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from stream.kafka.lag import GROUPS, LagWatch
from stream.sandbox import expected, history, report
from stream.sandbox.expected.customers import Record
from stream.sandbox.seed import Seeded
from stream.sandbox.stripe.delivery import Delivery
from stream.sandbox.stripe.world import World
from tests.chaos.group import Group

SETTLE_SECONDS = 600.0
_ID = re.compile(r"#(.+?)#")


class Found(msgspec.Struct, frozen=True):
    """What a run left. Each of the tuples names what is wrong, one line each.

    `lost`: accepted events that Kafka does not have or of which nothing became, and records that Salesforce lacks.
    `duplicated`: records that Salesforce has twice, or that nobody asked for. `stale`: records that do not say
    what Stripe's truth says. `told_twice`: notices that arrived more than once on a channel. `untold` counts those
    that arrived on none: at most once may be not at all.
    """

    accepted: int
    undelivered: int
    records: int
    lost: tuple[str, ...]
    duplicated: tuple[str, ...]
    stale: tuple[str, ...]
    told_twice: tuple[str, ...]
    notices: int
    told: Mapping[str, int]
    dead_letters: Mapping[str, int]
    p50: float | None
    p99: float | None

    @property
    def sound(self) -> bool:
        """Whether the promise held."""
        return not (
            self.undelivered
            or self.lost
            or self.duplicated
            or self.stale
            or self.told_twice
            or self.dead_letters
        )


async def settled(group: Group, seconds: float = SETTLE_SECONDS) -> None:
    """Waits until all groups have committed all there is. Raises TimeoutError that says how much is left."""
    watch = LagWatch(group.kafka)
    await watch.start()
    deadline = time.monotonic() + seconds
    quiet = 0
    try:
        while quiet < 2:  # twice in a row: what one group commits may be new to another
            left = {
                name: sum(behind for behind, _ in (await watch.measure(name)).values()) for name in GROUPS
            }
            quiet = quiet + 1 if not any(left.values()) else 0
            if time.monotonic() > deadline:
                raise TimeoutError(f"Records that nobody has worked on after {seconds:.0f} s: {left}.")
            await asyncio.sleep(1)
    finally:
        await watch.stop()


async def check(group: Group, world: World, delivery: Delivery, before: Seeded) -> Found:
    """Reads everything. Raises KafkaError, aiohttp.ClientError."""
    told = await history.read(group.kafka)
    types = {event.id: event.type for event in world.events}
    lost = [f"event {id_}, {types[id_]}" for id_ in sorted(report.lost(world, delivery, told))]
    duplicated: list[str] = []
    stale: list[str] = []
    count = 0
    for name, records in expected.records(world).items():
        held = expected.key_all(name, await _rows(group, name))
        count += len(held)
        missing, doubled, differing = compare(records, held, before.kept.get(name, {}))
        for found, lines in ((lost, missing), (duplicated, doubled), (stale, differing)):
            found += (f"{name} {line}" for line in lines)
    arrived = {
        "Slack": _ids(group.slack.texts),
        "Chatter": _ids(str(row.get("Body")) for row in await _rows(group, "FeedItem")),
    }
    return Found(
        accepted=len(delivery.accepted_ids),
        undelivered=len(delivery.undelivered),
        records=count,
        lost=tuple(lost),
        duplicated=tuple(duplicated),
        stale=tuple(stale),
        told_twice=tuple(
            f"{channel}: notice {id_} {times} times"
            for channel, ids in arrived.items()
            for id_, times in ids.items()
            if times > 1
        ),
        notices=len(await history.notices(group.kafka)),
        told={channel: len(ids) for channel, ids in arrived.items()},
        dead_letters=dict(told.dead_letters),
        p50=told.percentile(0.5),
        p99=told.percentile(0.99),
    )


def compare(
    records: Mapping[str, Record], held: Iterable[tuple[str, Record]], before: Mapping[str, str]
) -> tuple[list[str], list[str], list[str]]:
    """What is missing, what is there twice or without reason, and what differs, of one object."""
    held = list(held)
    times = Counter(key for key, _ in held)
    missing = [f"{key}: missing" for key in records if key not in times]
    doubled = [
        f"{key}: {n} times" if key in records else f"{key}: not expected"
        for key, n in times.items()
        if n > 1 or key not in records
    ]
    single = {key: fields for key, fields in records.items() if times[key] == 1}
    _, differing = expected.compare(single, [it for it in held if it[0] in single], before)
    return missing, doubled, differing


def _ids(texts: Iterable[str]) -> Counter[str]:
    return Counter(id_ for text in texts for id_ in _ID.findall(text))


async def _rows(group: Group, name: str) -> list[Any]:
    async with group.http.get(f"{group.org.url}/sandbox/records/{name}") as answer:
        answer.raise_for_status()
        rows: list[Any] = await answer.json()
        return rows
