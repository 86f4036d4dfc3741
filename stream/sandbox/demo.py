"""`revstream demo`: a Stripe that lives, the whole pipe, a local Salesforce, and a comparison at the end."""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from stream import stages, topics
from stream.kafka.lag import LagWatch
from stream.sandbox import expected, history
from stream.sandbox.expected import ambiguous, money
from stream.sandbox.expected.churn import CAMPAIGN
from stream.sandbox.seed import Seeded, seed
from stream.sandbox.stripe.api import StripeApiServer
from stream.sandbox.stripe.delivery import Delivery, Manner, deliver
from stream.sandbox.stripe.identities import Mixture
from stream.sandbox.stripe.world import World
from stream.settings import Kafka, load
from stream.stage import log_to_stderr

SECRET = "whsec_demo"  # noqa: S105  of this run only, on loopback
API_KEY = "sk_test_demo"

# Long enough for a stage that was killed meanwhile to come back.
SETTLE_SECONDS = 120.0

# Enough customers whom several records could be that a small run has one, too.
MIXTURE = Mixture(ambiguous=0.08)


class Demo(msgspec.Struct, frozen=True):
    """What to play; see `revstream demo --help`."""

    customers: int
    seed: int
    duplicates: float
    shuffle: bool
    as_json: bool
    keep: bool


async def play(demo: Demo) -> int:
    """Plays it. 0 when Salesforce holds what it should, else 1. Raises SettingError, BrokerError, TimeoutError."""
    console = Console(stderr=True)
    world = World(demo.seed, demo.customers, mixture=MIXTURE)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="revstream-demo-")))
        settings = load()
        root = settings.revstream.state_dir / "demo"
        root.mkdir(parents=True, exist_ok=True)
        settings = settings.model_copy(
            update={"revstream": settings.revstream.model_copy(update={"state_dir": folder})}
        )
        log_to_stderr(settings)
        stripe = await stack.enter_async_context(StripeApiServer(world, key=API_KEY))
        org = stages.local_org(folder / "salesforce")
        environment = {
            **org.environment,
            "STRIPE_WEBHOOK_SECRETS": SECRET,
            "STRIPE_API_KEY": API_KEY,
            "STRIPE_API_BASE": stripe.url,
            "CHURN_CAMPAIGN": CAMPAIGN,
            "REVSTREAM_STATE_DIR": str(folder),
            **{f"{name}_LISTEN": stages.free_address() for name in _LISTENERS},
        }
        supervisor, addresses = await stack.enter_async_context(stages.together(settings, environment))
        supervisor.start(org.child)
        # Where a running demo can be found, by a person or by a test that kills one of its processes.
        (root / "processes").write_text(str(folder / "processes.json"))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        await _await_org(http, org.url)
        await stages.await_ready(addresses.internal, supervisor)
        console.print(f"Salesforce  {org.url}/sandbox/state\nStripe API  {stripe.url}")
        console.print(
            f"webhooks    http://{addresses.gateway}/webhooks/stripe\nKafka       {addresses.kafka}"
        )
        for name, address in addresses.internal.items():
            console.print(f"{name:<11} http://{address}/metrics")
        before = await seed(http, org.url, world)
        delivery = await _deliver(console, demo, world, addresses.gateway)
        kafka = Kafka(**{**settings.kafka.model_dump(), "brokers": [addresses.kafka]})
        await _settled(kafka)
        report = await _report(http, org.url, kafka, demo, world, delivery, before)
        _show(console, report)
        if demo.as_json:
            print(json.dumps(report), flush=True)
        if demo.keep:
            console.print("Everything goes on until Ctrl-C.")
            await _told()
    return 0 if _agrees(report) else 1


_LISTENERS = ("GATEWAY", "GATEWAY_METRICS", "PROJECTOR_METRICS", "WRITER_METRICS", "NOTIFY_METRICS")


async def _told() -> None:
    told = asyncio.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(ending, told.set)
    await told.wait()


async def _await_org(http: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(stages.READY_SECONDS):
        while not await stages.answers(http, f"{url}/sandbox/state"):  # noqa: ASYNC110  another process
            await asyncio.sleep(0.1)


async def _deliver(console: Console, demo: Demo, world: World, gateway: str) -> Delivery:
    manner = Manner(duplicates=demo.duplicates, shuffle=demo.shuffle, seed=demo.seed)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("webhooks", total=None)
        return await deliver(
            world.events,
            f"http://{gateway}/webhooks/stripe",
            SECRET,
            manner,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


async def _settled(kafka: Kafka) -> None:
    """Waits until both groups have committed all there is. Raises TimeoutError that says how much is left."""
    watch = LagWatch(kafka)
    await watch.start()
    deadline = time.monotonic() + SETTLE_SECONDS
    quiet = 0
    try:
        while quiet < 2:  # twice in a row: what one group commits may be new to the other
            left = 0
            for group in (topics.PROJECTOR_GROUP, topics.WRITER_GROUP):
                left += sum(behind for behind, _ in (await watch.measure(group)).values())
            quiet = quiet + 1 if left == 0 else 0
            if time.monotonic() > deadline:
                raise TimeoutError(f"{left} records are still not worked on after {SETTLE_SECONDS:.0f} s.")
            await asyncio.sleep(0.3)
    finally:
        await watch.stop()


async def _report(
    http: aiohttp.ClientSession,
    url: str,
    kafka: Kafka,
    demo: Demo,
    world: World,
    delivery: Delivery,
    before: Seeded,
) -> dict[str, Any]:
    told = await history.read(kafka)
    salesforce = {}
    for name, records in expected.records(world).items():
        records |= ambiguous.untouched(before.doubtful.get(name, {}))
        async with http.get(f"{url}/sandbox/records/{name}") as answer:
            answer.raise_for_status()
            held = expected.key_all(name, await answer.json())
            actual, wrong = expected.compare(records, held, before.kept.get(name, {}))
        salesforce[name] = {
            "expected": len(records),
            "actual": actual,
            "wrong": len(wrong),
            "examples": wrong[:5],
        }
    async with http.get(f"{url}/sandbox/state") as answer:
        calls = (await answer.json())["api_usage"]["used"]
    refused, wrongly = ambiguous.set_aside(world, told.refused)
    accounted = told.confirmed.keys() | told.set_aside
    # What another workflow or none is about makes no record, but it is kept all the same.
    ours = {id_ for id_, type_ in told.kept.items() if type_.rpartition(".")[0] in _FAMILIES}
    ours |= told.kept.keys() & {event.id for event in world.events if money.concerns(event, world)}
    lost = (delivery.accepted_ids - told.kept.keys()) | (ours - accounted)
    return {
        "customers": demo.customers,
        "seed": demo.seed,
        "events": len(world.events),
        "events_sent": delivery.sent,
        "events_accepted": len(delivery.accepted_ids),
        "events_applied": len(told.confirmed),
        "events_ignored": len(told.kept.keys() - accounted),
        "undelivered": len(delivery.undelivered),
        "dead_letters": told.dead_letters.total(),
        "dead_letter_causes": dict(told.dead_letters.most_common()),
        "set_aside": {
            "expected": len(ambiguous.identities(world)),
            "actual": refused,
            "wrong": len(wrongly),
            "examples": wrongly[:5],
        },
        "lost": len(lost),
        "salesforce": salesforce,
        "api_calls": calls,
        "end_to_end_seconds": {"p50": told.percentile(0.5), "p99": told.percentile(0.99)},
    }


# What a workflow is about.
_FAMILIES = ("customer", "customer.subscription")


def _rows(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The final table."""
    return {**report["salesforce"], "customers set aside": report["set_aside"]}


def _agrees(report: dict[str, Any]) -> bool:
    return not (report["undelivered"] or report["lost"]) and all(
        told["wrong"] == 0 and told["actual"] == told["expected"] for told in _rows(report).values()
    )


def _show(console: Console, report: dict[str, Any]) -> None:
    table = Table("Salesforce", "expected", "actual", "wrong")
    for name, told in _rows(report).items():
        table.add_row(name, str(told["expected"]), str(told["actual"]), str(told["wrong"]))
    console.print(table)
    for name, told in _rows(report).items():
        for line in told["examples"]:
            console.print(f"{name} {line}", markup=False)
    causes = ", ".join(f"{code} {count}" for code, count in report["dead_letter_causes"].items())
    took = report["end_to_end_seconds"]
    console.print(
        f"{report['events_accepted']} of {report['events']} events accepted in {report['events_sent']} requests, "
        f"{report['events_applied']} applied, {report['events_ignored']} without a workflow, "
        f"{report['dead_letters']} dead letters{f' ({causes})' if causes else ''}, {report['lost']} lost; "
        f"{report['api_calls']} API calls; "
        f"received to confirmed: p50 {took['p50']} s, p99 {took['p99']} s."
    )
    if report["set_aside"]["expected"]:
        console.print(
            "Set aside is who could be several of Salesforce's records: nobody guesses (MATCHING_SEVERAL)."
        )
