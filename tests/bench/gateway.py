"""The gateway, with its durable ack, beside a bare aiohttp handler that only reads the body, and beside one that
also sends it to Kafka as one would first write it.

`python -m tests.bench.gateway` runs it alone. All servers, Kafka and the load client share the machine; they
are measured in turn, several times, on the same connections and the same signed 2.7 KB events, and a ratio is
the median of the rounds' ratios.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from stream.gateway.webhook import PATH
from stream.kafka.broker import Broker
from stream.kafka.client import create_topics
from stream.listen import free_address
from stream.settings import Kafka
from stream.stripe.signature import sign
from tests.bench.process import child, cpu

SECRET = "whsec_benchmark"
CUSTOMERS = 5_000
BODY_BYTES = 2_700
# The first seconds of a Java process are not those of a Kafka that has been running.
WARM_UP_SECONDS = 5.0


BARE, NAIVE, GATEWAY = "bare", "naive", "gateway"


class Seen(msgspec.Struct, frozen=True):
    """One server. Requests a second; their ratio to the bare handler's, and the lowest and highest one of a round;
    the time to an answer; the process' CPU seconds per million requests."""

    rate: float
    ratio: float
    lowest: float
    highest: float
    p50_ms: float
    p99_ms: float
    cpu: float


class Figures(msgspec.Struct, frozen=True):
    """The servers by name, with so many connections of one request at a time."""

    connections: int
    servers: dict[str, Seen]

    @property
    def ours(self) -> Seen:
        """The gateway."""
        return self.servers[GATEWAY]

    @property
    def cpu_ratio(self) -> float:
        """How many times the bare handler's CPU the gateway's process takes."""
        return self.ours.cpu / self.servers[BARE].cpu


def events(count: int) -> list[bytes]:
    """Whole HTTP requests with events of many customers, signed now (so good for five minutes)."""
    now = int(time.time())
    return [_request(event(number, now), now) for number in range(count)]


def event(number: int, now: int) -> bytes:
    customer = f"cus_{number % CUSTOMERS:014}"
    subscription: dict[str, Any] = {
        "id": f"sub_{number:024}",
        "object": "subscription",
        "billing_mode": {"type": "flexible"},
        "cancel_at_period_end": False,
        "currency": "usd",
        "customer": customer,
        "items": {"object": "list", "data": [_item(item, now) for item in range(4)], "has_more": False},
        "latest_invoice": f"in_{number:024}",
        "metadata": {},
        "status": "active",
    }
    body = {
        "id": f"evt_{number:024}",
        "object": "event",
        "api_version": "2026-09-30.endive",
        "created": now,
        "data": {"object": subscription, "previous_attributes": {"cancel_at_period_end": True}},
        "livemode": True,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": "customer.subscription.updated",
    }
    room = BODY_BYTES - len(json.dumps(body))
    subscription["metadata"] = {"note": "x" * (room - len('"note": ""'))}
    return json.dumps(body).encode()


def _item(number: int, now: int) -> dict[str, Any]:
    return {
        "id": f"si_{number:024}",
        "object": "subscription_item",
        "current_period_end": now + 2_592_000,
        "current_period_start": now,
        "metadata": {},
        "price": {
            "id": f"price_{number:024}",
            "object": "price",
            "active": True,
            "billing_scheme": "per_unit",
            "currency": "usd",
            "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
            "unit_amount": 2_000,
            "unit_amount_decimal": "2000",
        },
        "quantity": 1,
    }


def _request(body: bytes, now: int) -> bytes:
    """As Stripe sends it."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json; charset=utf-8\r\n"
        "Cache-Control: no-cache\r\nUser-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\n"
        f"Accept: */*; q=0.5, application/xml\r\nContent-Length: {len(body)}\r\n"
        f"Stripe-Signature: {sign(body, SECRET, now)}\r\n\r\n"
    )
    return head.encode() + body


async def _answers(address: str) -> None:
    """Waits until something listens."""
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection(*address.rsplit(":", 1))
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            await writer.wait_closed()
            return


async def _ready(internal: str) -> None:
    async with asyncio.timeout(30), aiohttp.ClientSession() as client:
        while True:
            try:
                async with client.get(f"http://{internal}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


async def _load(address: str, requests: bytes, connections: int, seconds: float) -> dict[str, Any]:
    """One run of the load client. Raises RuntimeError when any answer was not 200."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.load", address, str(connections), str(seconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate(requests)
    seen: dict[str, Any] = json.loads(told)
    if set(seen["codes"]) != {"200"} or seen["errors"]:
        raise RuntimeError(f"The server at {address} did not answer everything with 200: {seen}")
    return seen


async def measure(brokers: str, *, connections: int = 64, seconds: float = 5.0, rounds: int = 5) -> Figures:
    """Measures all, on a Kafka that has the topics. Takes about `3 * rounds * seconds` and some more."""
    at = {name: free_address() for name in (BARE, NAIVE, GATEWAY)}
    internal = free_address()
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in at}
    spent = dict.fromkeys(at, 0.0)
    async with AsyncExitStack() as stack:
        pids = {
            BARE: await stack.enter_async_context(child("tests.bench.bare", *at[BARE].split(":"))),
            NAIVE: await stack.enter_async_context(
                child("tests.bench.naive", *at[NAIVE].split(":"), brokers)
            ),
            GATEWAY: await stack.enter_async_context(
                child(
                    "stream.gateway",
                    KAFKA_BROKERS=brokers,
                    STRIPE_WEBHOOK_SECRETS=SECRET,
                    GATEWAY_LISTEN=at[GATEWAY],
                    GATEWAY_METRICS_LISTEN=internal,
                )
            ),
        }
        await _answers(at[BARE])
        await _answers(at[NAIVE])
        await _ready(internal)
        for number in range(rounds + 1):
            whole = b"".join(len(each).to_bytes(4) + each for each in events(5_000))
            for name in at if number % 2 else reversed(at):
                before = cpu(pids[name])
                seen = await _load(at[name], whole, connections, seconds if number else WARM_UP_SECONDS)
                if number:
                    runs[name].append(seen)
                    spent[name] += cpu(pids[name]) - before
    return Figures(connections, {name: _seen(runs[name], runs[BARE], spent[name]) for name in at})


def _seen(runs: list[dict[str, Any]], bare: list[dict[str, Any]], spent: float) -> Seen:
    rates, others = ([run["answered"] / run["seconds"] for run in each] for each in (runs, bare))
    ratios = [one / other for one, other in zip(rates, others, strict=True)]
    return Seen(
        rate=statistics.median(rates),
        ratio=statistics.median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
        p50_ms=1000 * statistics.median(run["p50"] for run in runs),
        p99_ms=1000 * statistics.median(run["p99"] for run in runs),
        cpu=spent / sum(run["answered"] for run in runs) * 1e6,
    )


async def _alone() -> None:
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder))
        broker.start()
        try:
            await create_topics(Kafka(brokers=[broker.address]))
            for connections in (64, 256):
                figures = await measure(broker.address, connections=connections)
                print(msgspec.json.format(msgspec.json.encode(figures)).decode(), flush=True)
        finally:
            broker.stop()


if __name__ == "__main__":
    asyncio.run(_alone())
