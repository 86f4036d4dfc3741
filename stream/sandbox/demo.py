"""`revstream demo`: a Stripe that lives, the whole pipe, a local Salesforce, and a comparison at the end."""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from stream import stages
from stream.kafka.lag import GROUPS, LagWatch
from stream.listen import free_address
from stream.sandbox import report
from stream.sandbox.ends import SlackEnd, SmtpEnd
from stream.sandbox.expected.churn import CAMPAIGN
from stream.sandbox.seed import seed
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
# A refused webhook is sent again for so long: on a busy machine 12,000 take minutes.
PATIENCE_SECONDS = 900.0

# Enough customers whom several records could be that a small run has one, too.
MIXTURE = Mixture(ambiguous=0.04)


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
        slack = await stack.enter_async_context(SlackEnd())
        mail = await stack.enter_async_context(SmtpEnd())
        org = stages.local_org(folder / "salesforce")
        environment = {
            **org.environment,
            "STRIPE_WEBHOOK_SECRETS": SECRET,
            "STRIPE_API_KEY": API_KEY,
            "STRIPE_API_BASE": stripe.url,
            "CHURN_CAMPAIGN": CAMPAIGN,
            **_channels(world, slack, mail),
            "REVSTREAM_STATE_DIR": str(folder),
            **{f"{name}_LISTEN": free_address() for name in _LISTENERS},
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
        console.print("Slack, mail here, of what is long over, too (NOTIFY_OLDEST_HOURS, NOTIFY_PER_MINUTE)")
        for name, address in addresses.internal.items():
            console.print(f"{name:<11} http://{address}/metrics")
        before = await seed(http, org.url, world)
        delivery = await _deliver(console, demo, world, addresses.gateway)
        kafka = Kafka(**{**settings.kafka.model_dump(), "brokers": [addresses.kafka]})
        await settled(kafka)
        told = {"Slack": slack.texts, "mail": mail.whole}
        found = await report.judge(http, org.url, kafka, world, delivery, before)
        found["told"] = report.told(world, told, supervisor.restarts["notifier"])
        report.show(console, found)
        if demo.as_json:
            print(json.dumps({"customers": demo.customers, "seed": demo.seed, **found}), flush=True)
        if demo.keep:
            console.print("Everything goes on until Ctrl-C.")
            await _until_told()
    return 0 if report.agrees(found) else 1


_LISTENERS = ("GATEWAY", "GATEWAY_METRICS", "PROJECTOR_METRICS", "WRITER_METRICS", "NOTIFY_METRICS")


def _channels(world: World, slack: SlackEnd, mail: SmtpEnd) -> dict[str, str]:
    """Settings that have people told here: of every day that is played, each thing by a message of its own."""
    days = (time.time() - world.start) / 86_400
    return {
        "NOTIFY_SLACK_WEBHOOK_URL": slack.url,
        "NOTIFY_SMTP_HOST": "127.0.0.1",
        "NOTIFY_SMTP_PORT": str(mail.port),
        "NOTIFY_SMTP_SECURITY": "none",
        "NOTIFY_MAIL_FROM": "revstream@demo.example",
        "NOTIFY_MAIL_TO": "success@demo.example",
        "NOTIFY_OLDEST_HOURS": str(24 * (int(days) + 2)),
        "NOTIFY_PER_MINUTE": "1000000",
    }


async def _until_told() -> None:
    told = asyncio.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(ending, told.set)
    await told.wait()


async def _await_org(http: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(stages.READY_SECONDS):
        while not await stages.answers(http, f"{url}/sandbox/state"):  # noqa: ASYNC110  another process
            await asyncio.sleep(0.1)


async def _deliver(console: Console, demo: Demo, world: World, gateway: str) -> Delivery:
    manner = Manner(
        duplicates=demo.duplicates, shuffle=demo.shuffle, seed=demo.seed, patience=PATIENCE_SECONDS
    )
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


async def settled(kafka: Kafka) -> None:
    """Waits until all groups have committed all there is. Raises TimeoutError that says how much is left
    when that has not become less for some time."""
    watch = LagWatch(kafka)
    await watch.start()
    deadline = time.monotonic() + SETTLE_SECONDS
    quiet, least = 0, None
    try:
        while quiet < 2:  # twice in a row: what one group commits may be new to the other
            left = 0
            for group in GROUPS:
                left += sum(behind for behind, _ in (await watch.measure(group)).values())
            quiet = quiet + 1 if left == 0 else 0
            if least is None or left < least:
                least, deadline = left, time.monotonic() + SETTLE_SECONDS
            if time.monotonic() > deadline:
                raise TimeoutError(f"{left} records are not worked on, no fewer for {SETTLE_SECONDS:.0f} s.")
            await asyncio.sleep(0.3)
    finally:
        await watch.stop()
