"""The stages run singly on a fresh cluster, and what each of them serves on its internal port."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream.kafka.broker import Broker
from stream.listen import free_address
from stream.sandbox.salesforce import LocalSalesforce
from stream.stages import STAGES
from stream.topics import PROJECTOR_GROUP, TABLES, TOPICS, WRITER_GROUP

DEADLINE = 120.0
GROUPS = {PROJECTOR_GROUP, WRITER_GROUP}


def environment(broker: str, folder: Path, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "KAFKA_BROKERS": broker,
        "KAFKA_PARTITIONS": "2",
        "KAFKA_SESSION_TIMEOUT_SECONDS": "30",
        "REVSTREAM_STATE_DIR": str(folder),
        **more,
    }


def topics_create(broker: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stream.cli", "topics", "create"],
        env=environment(broker, folder, **more),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def test_topics_are_created_once_and_a_second_time_changes_nothing(broker: Broker, tmp_path: Path) -> None:
    for _ in range(2):
        done = topics_create(broker.address, tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{len(TOPICS)} topics are there: stripe.events, ")


def test_topics_on_no_cluster_name_the_setting(tmp_path: Path) -> None:
    done = topics_create("", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("revstream: KAFKA_BROKERS: ")
    assert done.stderr.count("\n") == 1


@asynccontextmanager
async def stage(name: str, env: dict[str, str]) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stream.cli", name, env=env, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), DEADLINE)
        print(errors.decode())  # pytest shows it when the test fails
    assert process.returncode == 0


async def get(client: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    async with client.get(url) as answer:
        return answer.status, await answer.text()


async def until_ready(client: aiohttp.ClientSession, address: str) -> None:
    deadline = time.monotonic() + DEADLINE
    told = "nothing answers"
    while time.monotonic() < deadline:
        try:
            status, told = await get(client, f"http://{address}/readyz")
            if status == 200:
                return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.05)
    pytest.fail(f"{address} is not ready: {told}")


async def scrape(client: aiohttp.ClientSession, address: str) -> str:
    """The metrics, once the lag has been measured where it is."""
    status, text = await get(client, f"http://{address}/metrics")
    assert status == 200
    return text


def labels_of(text: str, name: str, label: str) -> set[str]:
    return {
        sample.labels[label]
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and label in sample.labels
    }


def value_of(text: str, name: str) -> float | None:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name:
                return sample.value
    return None


def promtool_says(text: str) -> tuple[int, str, str]:
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    return checked.returncode, checked.stdout, checked.stderr


async def test_each_stage_serves_its_health_and_metrics(broker: Broker, tmp_path: Path) -> None:
    assert topics_create(broker.address, tmp_path).returncode == 0
    addresses = {name: free_address() for name in STAGES}
    async with LocalSalesforce() as salesforce, aiohttp.ClientSession() as client, AsyncExitStack() as stack:
        env = environment(
            broker.address,
            tmp_path,
            STRIPE_WEBHOOK_SECRETS="whsec_test",
            GATEWAY_LISTEN="127.0.0.1:0",
            SALESFORCE_LOGIN_URL=salesforce.url,
            SALESFORCE_CLIENT_ID="sandbox",
            SALESFORCE_CLIENT_SECRET="sandbox",
            **{
                f"{'NOTIFY' if name == 'notifier' else name.upper()}_METRICS_LISTEN": address
                for name, address in addresses.items()
            },
        )
        for name in addresses:
            await stack.enter_async_context(stage(name, env))
        for address in addresses.values():
            await until_ready(client, address)
        for address in addresses.values():
            assert (await get(client, f"http://{address}/livez"))[0] == 200

        for name in ("projector", "writer"):
            async with asyncio.timeout(DEADLINE):
                while (  # noqa: ASYNC110
                    labels_of(
                        await scrape(client, addresses[name]), "revstream_consumer_lag_records", "group"
                    )
                    != GROUPS
                ):
                    await asyncio.sleep(0.05)
        texts = {name: await scrape(client, address) for name, address in addresses.items()}

    for name, text in texts.items():
        assert promtool_says(text) == (0, "", ""), name
        assert labels_of(text, "revstream_build_info", "version")
        assert value_of(text, "process_resident_memory_bytes")
    assert "stale" in labels_of(texts["gateway"], "revstream_webhook_rejected_total", "reason")
    assert labels_of(texts["projector"], "revstream_table_keys", "table") == set(TABLES)
    assert "no_workflow" in labels_of(texts["projector"], "revstream_events_processed_total", "reason")
    assert labels_of(texts["projector"], "revstream_rebalances_total", "stage") == {"projector"}
    assert "Account" in labels_of(texts["writer"], "revstream_salesforce_rows_total", "object")
    assert {"log", "none"} == labels_of(texts["notifier"], "revstream_notices_total", "channel")
    assert value_of(texts["writer"], "revstream_rebalances_total") == 1
    assert value_of(texts["projector"], "revstream_rebalances_total") == 1
