"""The real stages on customers' and subscriptions' events, into the local Salesforce.

First a backlog, one stage after the other, so that each is measured by itself: the gateway's topic is filled, the
projector goes over it, and then the writer over what the projector left. Then quiet: gateway, projector and writer
together, one webhook at a time, each sent once the one before is confirmed.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from stream.gateway.webhook import PATH
from stream.kafka.batches import Record
from stream.kafka.client import create_topics
from stream.listen import free_address
from stream.records import decode_result
from stream.settings import Kafka
from stream.stages import GATEWAY, PROJECTOR, SALESFORCE, WRITER, LocalOrg, local_org
from stream.stripe.signature import sign
from stream.topics import SALESFORCE_RESULTS, SALESFORCE_WRITES, STRIPE_EVENTS
from tests.bench.gateway import SECRET, event
from tests.bench.log import Reader, fill, place, until
from tests.bench.process import alive, child, cpu

PARTITIONS = 12
SUBSCRIPTIONS_PER_CUSTOMER = 2  # events of each kind, for every one of the customer's own


class Figures(msgspec.Struct, frozen=True):
    """Rates are events a second; CPU is seconds per million events, from ready to done. Milliseconds are from
    the gateway's receipt to Salesforce's confirmation of the last of the event's records."""

    events: int
    projector_rate: float
    projector_cpu: float
    waiting: int
    rows: int
    calls: int
    calls_per_thousand: float
    writer_rate: float
    writer_cpu: float
    quiet_events: int
    quiet_p50_ms: float
    quiet_p99_ms: float


class Customer(msgspec.Struct, frozen=True):
    """An event of a customer as Stripe sends it, and what Salesforce should say after it."""

    key: str
    name: str
    body: bytes


def customer_event(number: int, turn: int, created: int) -> Customer:
    """The `turn`th event of a customer: first its creation, then changes of its name."""
    key, name = f"cus_{number:014}", f"Ada {turn} Byron{number}"
    body: dict[str, Any] = {
        "id": f"evt_{turn:06}{number:018}",
        "object": "event",
        "api_version": "2026-09-30.endive",
        "created": created,
        "data": {
            "object": {
                "id": key,
                "object": "customer",
                "address": {"city": "London", "country": "GB", "line1": f"{number} St James's Square"},
                "balance": 0,
                "created": created,
                "currency": "gbp",
                "delinquent": False,
                "description": None,
                "email": f"ada{number}@engines{number}.example",
                "invoice_prefix": f"{number:08}",
                "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None},
                "livemode": True,
                "metadata": {"crm": "yes"},
                "name": name,
                "phone": f"+44 20 {number:08}",
                "preferred_locales": ["en-GB"],
                "shipping": None,
                "tax_exempt": "none",
            }
        },
        "livemode": True,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": "customer.updated" if turn else "customer.created",
    }
    if turn:
        body["data"]["previous_attributes"] = {"name": f"Ada {turn - 1} Byron{number}"}
    return Customer(key, name, json.dumps(body).encode())


def backlog(count: int) -> tuple[list[Record], dict[str, str]]:
    """So many events in the order of their time, a third about customers and the others about subscriptions;
    and the last name of each customer."""
    customers = max(1, count // 6)
    now = int(time.time()) - count
    names: dict[str, str] = {}
    records = []
    for at in range(count):
        number, turn = at % customers, at // customers
        key = f"cus_{number:014}"
        if turn % (SUBSCRIPTIONS_PER_CUSTOMER + 1) == 0:
            told = customer_event(number, turn // (SUBSCRIPTIONS_PER_CUSTOMER + 1), now + at)
            names[key], body, kind = told.name, told.body, "customer.updated" if turn else "customer.created"
        else:
            body, kind = event(number, now + at), "customer.subscription.updated"
        records.append(_kept(key, f"evt_bench{at}", kind, now + at, body))
    return records, names


def _kept(key: str, id_: str, type_: str, created: int, body: bytes) -> Record:
    """As the gateway keeps it."""
    headers = {"id": id_, "type": type_, "created": created, "received_at": int(time.time() * 1000)}
    return Record(
        STRIPE_EVENTS,
        place(key.encode(), PARTITIONS),
        key.encode(),
        body,
        tuple((name, str(value).encode()) for name, value in headers.items()),
    )


class Bench:
    """One Kafka, one local Salesforce, and the stages' settings."""

    def __init__(self, brokers: str, folder: Path, org: LocalOrg, client: aiohttp.ClientSession) -> None:
        self.brokers = brokers
        self.org = org
        self._client = client
        self.at = {stage: free_address() for stage in ("gateway", "internal", "projector", "writer")}
        self.environment = {
            **org.environment,
            "KAFKA_BROKERS": brokers,
            "KAFKA_PARTITIONS": str(PARTITIONS),
            "KAFKA_SESSION_TIMEOUT_SECONDS": "6",
            "STRIPE_WEBHOOK_SECRETS": SECRET,
            "GATEWAY_LISTEN": self.at["gateway"],
            "GATEWAY_METRICS_LISTEN": self.at["internal"],
            "PROJECTOR_METRICS_LISTEN": self.at["projector"],
            "WRITER_METRICS_LISTEN": self.at["writer"],
            "REVSTREAM_STATE_DIR": str(folder),
            "REVSTREAM_LOG_LEVEL": "WARNING",
        }

    async def answers(self, url: str) -> bool:
        """Whether a GET gives 200 now."""
        try:
            async with self._client.get(url) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def calls(self) -> int:
        """API calls that Salesforce has counted."""
        async with self._client.get(f"{self.org.url}/sandbox/state") as answer:
            state = await answer.json()
        return int(state["api_usage"]["used"])

    async def accounts(self) -> dict[str, str]:
        """What Salesforce calls each customer."""
        async with self._client.get(f"{self.org.url}/sandbox/records/Account") as answer:
            return {row["Stripe_Customer_Id__c"]: row["Name"] for row in await answer.json()}

    async def processed(self) -> int:
        """Events that the projector has counted as done."""
        try:
            async with self._client.get(f"http://{self.at['projector']}/metrics") as answer:
                text = await answer.text()
        except aiohttp.ClientError:
            return 0
        return int(
            sum(
                sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
                if sample.name == "revstream_events_processed_total"
            )
        )

    async def post(self, told: Customer) -> None:
        """One webhook. Raises RuntimeError when it is not accepted."""
        signature = {"Stripe-Signature": sign(told.body, SECRET, int(time.time()))}
        url = f"http://{self.at['gateway']}{PATH}"
        async with self._client.post(url, data=told.body, headers=signature) as answer:
            if answer.status != 200:
                raise RuntimeError(f"The gateway answered {answer.status}: {await answer.text()}")


async def measure(brokers: str, folder: Path, *, events: int = 10_000, quiet: int = 100) -> Figures:
    """Measures everything on a Kafka without topics. Raises RuntimeError when Salesforce ends up wrong."""
    await create_topics(Kafka(brokers=[brokers], partitions=PARTITIONS))
    org = local_org(folder / "salesforce")
    ports = (org.url.rpartition(":")[2], org.https_url.rpartition(":")[2])
    salesforce = child(SALESFORCE, "--port", ports[0], "--https-port", ports[1], "--state", str(org.state))
    async with salesforce as pid, aiohttp.ClientSession() as client:
        bench = Bench(brokers, folder, org, client)

        async def up() -> bool:
            return await bench.answers(f"{org.url}/sandbox/state")

        await until(up, lambda: alive([pid]), "the local Salesforce answers")
        records, names = backlog(events)
        rate, spent = await _projector(bench, records)
        rows, calls, writer_rate, writer_spent = await _writer(bench, names, events)
        latencies = sorted(await _quiet(bench, quiet))
        return Figures(
            events=events,
            projector_rate=rate,
            projector_cpu=spent,
            waiting=events,
            rows=rows,
            calls=calls,
            calls_per_thousand=calls * 1000 / events,
            writer_rate=writer_rate,
            writer_cpu=writer_spent,
            quiet_events=quiet,
            quiet_p50_ms=latencies[len(latencies) // 2],
            quiet_p99_ms=latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)],
        )


async def _projector(bench: Bench, records: Sequence[Record]) -> tuple[float, float]:
    """Its rate and its CPU over the backlog, which comes while it is ready and stopped, so without its start."""
    events = len(records)
    async with child(PROJECTOR, **bench.environment) as pid:

        async def ready() -> bool:
            return await bench.answers(f"http://{bench.at['projector']}/readyz")

        async def passed() -> bool:
            return await bench.processed() >= events

        await until(ready, lambda: alive([pid]), "the projector is ready")
        os.kill(pid, signal.SIGSTOP)
        await fill(bench.brokers, records)
        began, before = time.perf_counter(), cpu(pid)
        os.kill(pid, signal.SIGCONT)
        await until(passed, lambda: alive([pid]), "the projector ends")
        took, spent = time.perf_counter() - began, cpu(pid) - before
    return events / took, spent / events * 1e6


async def _writer(bench: Bench, names: dict[str, str], events: int) -> tuple[int, int, float, float]:
    """Rows and calls, events a second and CPU over what waits for it, login and matching included."""
    async with Reader(bench.brokers, SALESFORCE_WRITES, PARTITIONS) as reader:
        wanted = len(await reader.whole())
    before = await bench.calls()
    async with (
        child(WRITER, **bench.environment) as pid,
        Reader(bench.brokers, SALESFORCE_RESULTS, PARTITIONS) as reader,
    ):

        async def ready() -> bool:
            return await bench.answers(f"http://{bench.at['writer']}/readyz")

        async def told() -> bool:
            return await reader.ends() >= wanted

        await until(ready, lambda: alive([pid]), "the writer is ready")
        began, used = time.perf_counter(), cpu(pid)
        await until(told, lambda: alive([pid]), "the writer ends")
        took, spent = time.perf_counter() - began, cpu(pid) - used
        outcomes = {decode_result(record.value).outcome for record in await reader.whole()}
    if "dead-lettered" in outcomes or await bench.accounts() != names:
        raise RuntimeError("The writer is done, and Salesforce does not hold every customer as it should.")
    return wanted, await bench.calls() - before, events / took, spent / events * 1e6


async def _quiet(bench: Bench, count: int) -> Sequence[float]:
    """Milliseconds from receipt to confirmation of single webhooks."""
    ready = [f"http://{bench.at[name]}/readyz" for name in ("internal", "writer", "projector")]
    async with (
        child(GATEWAY, **bench.environment) as gateway,
        child(PROJECTOR, **bench.environment) as projector,
        child(WRITER, **bench.environment) as writer,
        Reader(bench.brokers, SALESFORCE_RESULTS, PARTITIONS) as reader,
    ):

        def check() -> None:
            alive([gateway, projector, writer])

        async def all_ready() -> bool:
            return all([await bench.answers(url) for url in ready])

        await until(all_ready, check, "the stages are ready")
        await reader.seek_to_end()
        latencies = []
        for number in range(count + 1):
            told = customer_event(10_000_000 + number, 0, int(time.time()))
            confirmed: dict[str, float] = {}

            async def done(told: Customer = told, confirmed: dict[str, float] = confirmed) -> bool:
                for record in await reader.more():
                    result = decode_result(record.value)
                    if result.account == told.key and result.outcome == "created":
                        confirmed[result.object] = result.at - result.events[-1].received_at
                return len(confirmed) == 2

            await bench.post(told)
            await until(done, check, f"{told.key} is confirmed")
            if number:  # the first one opens connections
                latencies.append(max(confirmed.values()))
        return latencies
