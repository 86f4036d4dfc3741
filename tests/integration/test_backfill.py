"""`revstream backfill`: what never reached the gateway comes from Stripe into the log, once."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stream.kafka.batches import Record, partition_of
from stream.sandbox.stripe import render
from stream.sandbox.stripe.api import StripeApiServer
from stream.sandbox.stripe.book import StripeEvent
from stream.sandbox.stripe.delivery import deliver
from stream.sandbox.stripe.identities import Mixture
from stream.sandbox.stripe.world import World
from stream.stripe import envelope, routing
from stream.topics import STRIPE_EVENTS
from tests.gateway import SECRET
from tests.integration.conftest import PARTITIONS
from tests.integration.test_gateway import ids, records, running
from tests.integration.test_interrupted import heard, interrupted
from tests.integration.test_offsets import environment
from tests.integration.test_projector import send

pytestmark = pytest.mark.integration

DEADLINE = 120.0
KEY = "sk_test_backfill"
DAY = 86_400
ACCOUNTS = ("--account", "acct_1Revstream1", "--account", "acct_1Revstream2")


class Stripe:
    """A Stripe that has lived through some days of this month, and the command that asks it."""

    def __init__(self, brokers: str, world: World, server: StripeApiServer) -> None:
        self.brokers = brokers
        self.world = world
        self.server = server

    async def begun(self, *words: str, **settings: str) -> asyncio.subprocess.Process:
        since = moment(self.world.start - 2 * DAY)
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stream.cli", "backfill", "--since", since, *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                **environment(self.brokers),
                "STRIPE_API_KEY": KEY,
                "STRIPE_API_BASE": self.server.url,
                **settings,
            },
        )

    async def backfill(self, *words: str, **settings: str) -> tuple[int, Any, str]:
        """Exit code, standard output as JSON, standard error."""
        process = await self.begun(*words, "--yes", "--json", **settings)
        out, error = await asyncio.wait_for(process.communicate(), DEADLINE)
        return process.returncode or 0, json.loads(out) if out else None, error.decode()

    @property
    def own(self) -> list[StripeEvent]:
        """The events of no connected account."""
        return [event for event in self.world.events if event.account is None]


@asynccontextmanager
async def stripe(brokers: str, customers: int, connected: float = 0.0) -> AsyncIterator[Stripe]:
    start = int(time.time()) - 25 * DAY
    world = World(5, customers, mixture=Mixture(connected=connected), start=start, days=24)
    async with StripeApiServer(world, key=KEY) as server:
        yield Stripe(brokers, world, server)


def moment(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def told(event: StripeEvent) -> Record:
    """What the log is to have of an event, without the time at which it came."""
    body = render.body(event)
    read = envelope.read(body)
    key = routing.key(read).encode()
    headers = tuple(pair for pair in routing.headers(read, 0) if pair[0] != "received_at")
    return Record(STRIPE_EVENTS, partition_of(key, PARTITIONS), key, body, headers)


def held(record: Any) -> Record:
    headers = tuple(pair for pair in record.headers if pair[0] != "received_at")
    assert int(dict(record.headers)["received_at"]) == record.timestamp
    return Record(record.topic, record.partition, record.key, record.value, headers)


async def test_what_never_reached_the_gateway_is_in_the_log_as_if_it_had(topics: str, tmp_path: Path) -> None:
    async with stripe(topics, 25, connected=0.3) as it:
        events = it.world.events
        came = [event for number, event in enumerate(events) if not 100 <= number < 400 and number % 7]
        async with running(topics, tmp_path) as gateway:
            delivery = await deliver(came, f"http://127.0.0.1:{gateway.port}/webhooks/stripe", SECRET)
        assert delivery.accepted == len(came)
        before = await records(topics)

        missed = {event.id for event in it.own}.difference(ids(before))
        code, plan, _ = await it.backfill("--dry-run")
        assert (code, plan["sent"]) == (0, 0)
        assert (plan["listed"], plan["events"]) == (len(it.own), len(missed))
        assert plan["types"] == Counter(event.type for event in it.own if event.id in missed)
        assert await records(topics) == before

        code, plan, error = await it.backfill()
        assert (code, plan["sent"]) == (0, len(missed)), error
        added = [record for record in await records(topics) if record not in before]
        assert Counter(ids(added)) == dict.fromkeys(missed, 1)
        for partition in range(PARTITIONS):
            times = [int(dict(one.headers)["created"]) for one in added if one.partition == partition]
            assert times == sorted(times)

        code, plan, _ = await it.backfill(*ACCOUNTS)
        assert (code, plan["listed"]) == (0, len(events) - len(it.own))
        assert plan["sent"] > 0
        found = await records(topics)
        assert {one: held(record) for one, record in zip(ids(found), found, strict=True)} == {
            event.id: told(event) for event in events
        }
        assert len(found) == len(events)
        for words in ((), ACCOUNTS):
            code, plan, _ = await it.backfill(*words)
            assert (code, plan["events"], plan["sent"]) == (0, 0, 0)
            assert plan["held"] == plan["listed"] > 0
        assert len(await records(topics)) == len(events)


async def test_whoever_is_killed_or_stopped_goes_on_with_the_same_words(topics: str) -> None:
    async with stripe(topics, 90) as it:
        total = len(it.own)
        assert total > 1500

        async def appending() -> asyncio.subprocess.Process:
            """A backfill that has appended some events, and gets no answer of Stripe any more."""
            process = await it.begun("--yes")
            await heard(process, " appended")
            it.server.fail(None, times=1000, seconds=DEADLINE, path="/v1/events")
            return process

        process = await appending()
        process.kill()
        await process.communicate()
        it.server.faults.clear()
        first = len(await records(topics))
        assert 500 <= first < total

        process = await appending()
        last = await interrupted(process)
        it.server.faults.clear()
        second = len(await records(topics))
        assert first + 500 <= second < total
        assert last.startswith(f"revstream: Stopped. {second - first} of {total - first} were appended")
        assert "The same command goes on" in last

        code, plan, _ = await it.backfill()
        assert (code, plan["held"], plan["sent"]) == (0, second, total - second)
        assert Counter(ids(await records(topics))) == dict.fromkeys((event.id for event in it.own), 1)


async def test_only_what_is_asked_for_is_appended(topics: str) -> None:
    async with stripe(topics, 12) as it:
        half = it.own[len(it.own) // 2].created
        early = [event for event in it.own if event.created < half]
        customer = next(event.thing.id for event in early if event.type == "customer.created")

        code, plan, _ = await it.backfill("--until", moment(half), "--customer", customer)
        assert code == 0
        assert plan["customers"] == 1
        mine = [event for event in early if told(event).key == customer.encode()]
        assert sorted(ids(await records(topics))) == sorted(event.id for event in mine)

        types = ("invoice.paid", "customer.created")
        code, plan, _ = await it.backfill("--type", types[0], "--type", types[1], "--until", moment(half))
        assert code == 0
        assert plan["held"] == sum(event.type in types for event in mine)
        wanted = {event.id for event in early if event.type in types} | {event.id for event in mine}
        assert Counter(ids(await records(topics))) == dict.fromkeys(wanted, 1)


async def test_nothing_is_appended_unless_it_is_confirmed(topics: str) -> None:
    async with stripe(topics, 2) as it:
        process = await it.begun()
        await heard(process, "[y/N]")
        assert await interrupted(process) == "revstream: Stopped. Nothing was appended."
        process = await it.begun()
        out, error = await asyncio.wait_for(process.communicate(b"n\n"), DEADLINE)
        assert process.returncode == 5, error
        assert f"the log holds 0 of them.\nIt lacks {len(it.own)}" in out.decode()
        assert await records(topics) == []


async def test_what_is_wrong_is_told_in_one_line(topics: str) -> None:
    async with stripe(topics, 2) as it:
        code, _, error = await it.backfill(STRIPE_API_KEY="")
        assert code == 2
        assert error.startswith("revstream: STRIPE_API_KEY: ")
        code, _, error = await it.backfill("--since", moment(int(time.time()) - 31 * DAY))
        assert code == 2
        assert "Stripe keeps events for 30 days" in error
        code, _, error = await it.backfill("--since", "2026-03-01T03:00:00")
        assert code == 2
        assert "In UTC" in error
        code, _, error = await it.backfill(STRIPE_API_KEY="sk_test_of_somebody_else")
        assert code == 1
        assert "Check STRIPE_API_KEY" in error
        assert error.endswith("Nothing was appended.\n")
        assert error.count("\n") == 1
        # An event that was listed and is gone by the second reading: Stripe has dropped it meanwhile.
        it.server.fail(404, path=f"/v1/events/{it.own[0].id}")
        code, _, error = await it.backfill()
        assert code == 1
        assert f"Stripe has no event {it.own[0].id}" in error
        assert await records(topics) == []


async def test_copies_of_a_replay_count_as_held(topics: str) -> None:
    async with stripe(topics, 2) as it:
        await send(topics, *(told(event) for event in it.own[:3] for _ in range(2)))
        code, plan, _ = await it.backfill("--dry-run")
        assert (code, plan["held"], plan["listed"]) == (0, 3, len(it.own))
