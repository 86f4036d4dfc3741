"""The gateway as processes, on real Kafka."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.partitioner import DefaultPartitioner

from stream.kafka.broker import Broker
from stream.kafka.client import create_topics
from stream.settings import Kafka
from stream.topics import STRIPE_EVENTS
from tests.gateway import SECRET, Answer, event, post, request
from tests.integration.conftest import PARTITIONS

pytestmark = pytest.mark.integration

DEADLINE = 120.0


class Running(msgspec.Struct):
    """A gateway process, the lines it has logged, and where it listens."""

    process: asyncio.subprocess.Process
    lines: list[str]
    port: int = 0
    internal: str = ""

    async def get(self, path: str, accept: str = "", internal: str = "") -> tuple[int, str]:
        """Status and text of an internal page; status 0 when nobody answers."""
        url = f"http://{internal or self.internal}{path}"
        try:
            async with (
                aiohttp.ClientSession() as client,
                client.get(url, headers={"Accept": accept}) as answer,
            ):
                return answer.status, await answer.text()
        except aiohttp.ClientError:
            return 0, ""

    async def ready(self, wanted: int = 200, internal: str = "") -> str:
        """Waits until `/readyz` answers a status, and gives its text."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            status, text = await self.get("/readyz", internal=internal)
            if status == wanted:
                return text
            await asyncio.sleep(0.05)
        raise AssertionError(f"/readyz did not become {wanted}; the log is {self.lines}")

    async def kept(self, *bodies: bytes) -> list[Answer]:
        """The answers to some events, sent at once."""
        return await asyncio.gather(*(post(self.port, request(body)) for body in bodies))


LISTENING = re.compile(
    r"Listening on http://127\.0\.0\.1:(\d+)/webhooks/stripe(?: \(internal http://(\S+)\))?"
)


@asynccontextmanager
async def running(brokers: str, state: Path, **environment: str) -> AsyncIterator[Running]:
    """The stage as its own process, on free ports; ended by SIGTERM, with exit status 0, unless it has ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "stream.gateway",
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "KAFKA_BROKERS": brokers,
            "STRIPE_WEBHOOK_SECRETS": f"whsec_other,{SECRET}",
            "GATEWAY_LISTEN": "127.0.0.1:0",
            "GATEWAY_METRICS_LISTEN": "127.0.0.1:0",
            "GATEWAY_PRODUCE_TIMEOUT_SECONDS": "20",
            "REVSTREAM_STATE_DIR": str(state),
            **environment,
        },
    )
    assert process.stderr is not None
    it = Running(process, [])
    listening = asyncio.Event()

    async def follow(stderr: asyncio.StreamReader) -> None:
        while line := (await stderr.readline()).decode().rstrip():
            it.lines.append(line)
            if found := LISTENING.search(line):
                it.port, it.internal = it.port or int(found[1]), it.internal or found[2] or ""
                listening.set()
        listening.set()

    following = asyncio.create_task(follow(process.stderr))
    try:
        async with asyncio.timeout(DEADLINE):
            await listening.wait()
        yield it
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(DEADLINE):
                assert await process.wait() == 0, it.lines
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await following
        print("\n".join(it.lines))  # pytest shows it when the test fails


async def records(brokers: str) -> list[ConsumerRecord]:
    """Everything on `stripe.events`, by partition and offset."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(STRIPE_EVENTS, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[ConsumerRecord] = []
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for fetched in (await consumer.getmany(timeout_ms=1000)).values():
                found += fetched
        return sorted(found, key=lambda record: (record.partition, record.offset))
    finally:
        await consumer.stop()


def ids(found: list[ConsumerRecord]) -> list[str]:
    return [json.loads(record.value)["id"] for record in found]


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not what():  # noqa: ASYNC110  files and processes have no event to wait for
            await asyncio.sleep(0.05)


# Keeping


async def test_events_are_on_kafka_byte_for_byte_when_they_are_answered(topics: str, tmp_path: Path) -> None:
    bodies = [event(id_=f"evt_{n}", id=f"cus_{n % 40}", note="é\u0000" * n) for n in range(200)]
    bodies.append(event(id_="evt_large", id="cus_large", note="x" * 1_000_000))
    async with running(topics, tmp_path) as it:
        await it.ready()
        began = time.time() * 1000
        answers = await it.kept(*bodies)
        assert {answer.code for answer in answers} == {200}
        ended = time.time() * 1000
        found = await records(topics)
        status, text = await it.get("/metrics")
    assert sorted(record.value for record in found) == sorted(bodies)
    numbers = list(range(PARTITIONS))
    for record in found:
        assert record.key.decode() == json.loads(record.value)["data"]["object"]["id"]
        assert record.partition == DefaultPartitioner()(record.key, numbers, numbers)
        assert began - 1 <= record.timestamp <= ended
        told = dict(record.headers)
        assert told["received_at"].decode() == str(record.timestamp)
        assert told["type"] == b"customer.updated"
        assert told["id"].decode() == json.loads(record.value)["id"]
    assert status == 200
    assert 'revstream_webhook_received_total{family="customer"} 201.0' in text
    assert 'revstream_http_requests_total{code="200"} 201.0' in text
    assert "revstream_http_requests_in_progress 0.0" in text
    assert "revstream_kafka_produce_duration_seconds_count" in text


async def test_a_customers_events_keep_their_order(topics: str, tmp_path: Path) -> None:
    bodies = [event(id_=f"evt_{n:03}") for n in range(100)]
    async with running(topics, tmp_path) as it:
        await it.ready()
        for body in bodies:
            assert (await post(it.port, request(body))).code == 200
    assert ids(await records(topics)) == [f"evt_{n:03}" for n in range(100)]


async def test_the_internal_port_tells_how_it_is(topics: str, tmp_path: Path) -> None:
    async with running(topics, tmp_path) as it:
        assert await it.ready() == "ready\n"
        assert await it.get("/livez") == (200, "alive\n")
        assert (await it.get("/webhooks/stripe"))[0] == 404
        openmetrics = await it.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
        assert openmetrics[1].endswith("# EOF\n")
        assert 'revstream_webhook_rejected_total{reason="bad_signature"} 0.0' in openmetrics[1]
        assert "revstream_build_info{" in (await it.get("/metrics"))[1]
        assert (await post(it.port, request(b"", method="GET", path="/metrics"))).code == 404


# Kafka away


async def test_kafka_that_comes_late_goes_away_and_comes_back(
    topics: str, broker: Broker, tmp_path: Path
) -> None:
    broker.stop()
    try:
        async with running(topics, tmp_path, GATEWAY_PRODUCE_TIMEOUT_SECONDS="3") as it:
            assert "Kafka" in await it.ready(503)
            answer = await post(it.port, request(event(id_="evt_too_early")))
            assert (answer.code, answer.error) == (503, "kafka_unavailable")
            assert await it.get("/livez") == (200, "alive\n")
            broker.start()
            await it.ready()
            assert (await post(it.port, request(event(id_="evt_1")))).code == 200
            broker.stop()
            codes = {
                answer.code for answer in await it.kept(*(event(id_=f"evt_gone_{n}") for n in range(20)))
            }
            assert codes == {503}
            await it.ready(503)
            broker.start()
            await it.ready()
            assert (await post(it.port, request(event(id_="evt_2")))).code == 200
    finally:
        if broker.pid is None:
            broker.start()
    # An event that was answered with 503 may be there: its answer was lost, not the event.
    assert {"evt_1", "evt_2"} <= set(ids(await records(topics)))


async def test_a_broker_that_falls_silent_mid_flight_gives_503_in_time_and_later_200(
    topics: str, broker: Broker, tmp_path: Path
) -> None:
    assert broker.pid is not None
    async with running(topics, tmp_path, GATEWAY_PRODUCE_TIMEOUT_SECONDS="3") as it:
        await it.ready()
        assert (await post(it.port, request(event(id_="evt_1")))).code == 200
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            answers = await it.kept(*(event(id_=f"evt_silent_{n}", id=f"cus_{n}") for n in range(50)))
            assert {(answer.code, answer.error) for answer in answers} == {(503, "kafka_timeout")}
            await it.ready(503)
            answer = await post(it.port, request(event(id_="evt_silent_50")))
            assert (answer.code, answer.error) == (503, "kafka_unavailable")
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        await it.ready()
        assert (await post(it.port, request(event(id_="evt_2")))).code == 200
    found = ids(await records(topics))
    assert found.count("evt_1") == found.count("evt_2") == 1


async def test_a_broker_killed_under_load_loses_nothing_that_was_answered(
    topics: str, broker: Broker, tmp_path: Path
) -> None:
    answered: list[str] = []
    refused: list[int] = []
    async with running(topics, tmp_path, GATEWAY_PRODUCE_TIMEOUT_SECONDS="3") as it:
        await it.ready()
        done = asyncio.Event()

        async def sender(name: int) -> None:
            number = 0
            while not done.is_set():
                id_ = f"evt_{name}_{number}"
                code = (await post(it.port, request(event(id_=id_, id=f"cus_{name}")))).code
                (answered.append(id_) if code == 200 else refused.append(code))
                number += 1
                await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as group:
            for name in range(10):
                group.create_task(sender(name))
            await until(lambda: len(answered) > 50)
            assert broker.pid is not None
            os.kill(broker.pid, signal.SIGKILL)
            await until(lambda: broker.pid is None and len(refused) > 20)
            broker.launch()
            await asyncio.to_thread(broker.await_answer)  # the senders go on meanwhile
            before = len(answered)
            await until(lambda: len(answered) > before + 50)
            done.set()
    assert set(refused) == {503}
    found = ids(await records(topics))
    assert set(answered) <= set(found)


async def test_a_missing_topic_is_told_and_noticed_when_it_comes(topics: str, tmp_path: Path) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=topics)
    await admin.start()
    await admin.delete_topics([STRIPE_EVENTS])
    while STRIPE_EVENTS in await admin.list_topics():  # noqa: ASYNC110  the broker deletes in its own time
        await asyncio.sleep(0.02)
    await admin.close()
    async with running(topics, tmp_path) as it:
        while await it.ready(503) != f"Kafka has no topic {STRIPE_EVENTS}.\n":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await create_topics(Kafka(brokers=[topics], partitions=PARTITIONS))
        await it.ready()
        assert (await post(it.port, request(event()))).code == 200


# Starting and stopping


async def test_sigterm_finishes_what_is_under_way(topics: str, tmp_path: Path) -> None:
    whole = request(event())
    async with running(topics, tmp_path) as it:
        await it.ready()
        reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
        writer.write(whole[:-1])
        await writer.drain()
        assert (await post(it.port, request(event(id_="evt_other")))).code == 200
        it.process.send_signal(signal.SIGTERM)

        await until(lambda: any("Stopping" in line for line in it.lines))
        writer.write(whole[-1:])
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()
        await writer.wait_closed()
        assert await it.process.wait() == 0
    assert sorted(ids(await records(topics))) == ["evt_1", "evt_other"]


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"STRIPE_WEBHOOK_SECRETS": ""}, "STRIPE_WEBHOOK_SECRETS"),
        ({"STRIPE_WEBHOOK_SECRETS": "whsec_one,,whsec_two"}, "STRIPE_WEBHOOK_SECRETS"),
        ({"GATEWAY_LISTEN": "8080"}, "GATEWAY_LISTEN"),
        ({"GATEWAY_LISTEN": "192.0.2.1:0"}, "GATEWAY_LISTEN"),
        ({"GATEWAY_METRICS_LISTEN": "127.0.0.1:65536"}, "GATEWAY_METRICS_LISTEN"),
        ({"GATEWAY_PROCESSES": "0"}, "GATEWAY_PROCESSES"),
        ({"KAFKA_BROKERS": ""}, "KAFKA_BROKERS"),
        ({"STRIPE_WEBHOOK_SECRETS": "", "GATEWAY_PROCESSES": "2"}, "STRIPE_WEBHOOK_SECRETS"),
    ],
)
async def test_a_wrong_setting_ends_it_at_once_with_one_line(
    tmp_path: Path, environment: dict[str, str], name: str
) -> None:
    async with running("127.0.0.1:1", tmp_path, **environment) as it:
        assert await it.process.wait() == 2
    assert len(it.lines) == 1
    assert it.lines[0].startswith(f"revstream: {name}: ")


async def test_a_blank_secret_in_the_settings_file_is_refused(tmp_path: Path) -> None:
    toml = tmp_path / "revstream.toml"
    toml.write_text('[stripe]\nwebhook_secrets = ["whsec_one", " "]\n')
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STRIPE_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "stream.gateway",
        env={**environment, "REVSTREAM_TOML": str(toml), "KAFKA_BROKERS": "127.0.0.1:1"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()
    assert process.returncode == 2
    assert told.decode().startswith("revstream: STRIPE_WEBHOOK_SECRETS: one of the secrets is blank.")


# Several processes


async def test_processes_share_the_port_are_restarted_and_leave_no_orphan(
    topics: str, tmp_path: Path
) -> None:
    pids_file = tmp_path / "gateway" / "processes.json"

    def pids() -> dict[str, int]:
        return dict(json.loads(pids_file.read_text())) if pids_file.exists() else {}

    async with running(topics, tmp_path, GATEWAY_PROCESSES="2") as it:
        internal: list[str] = []

        def both() -> bool:
            internal[:] = [found[2] for line in it.lines if (found := LISTENING.search(line)) and found[2]]
            return len(internal) == 2

        await until(both)
        for address in internal:
            await it.ready(internal=address)
        answers = await it.kept(*(event(id_=f"evt_{n}") for n in range(100)))
        assert {answer.code for answer in answers} == {200}
        counts = []
        for address in internal:
            text = (await it.get("/metrics", internal=address))[1]
            found = re.search(r'revstream_http_requests_total\{code="200"\} (\S+)', text)
            assert found is not None
            counts.append(float(found[1]))
        assert sum(counts) == 100
        assert min(counts) > 0, "the kernel spreads a hundred connections over both"

        before = pids()
        os.kill(before["gateway 1"], signal.SIGKILL)
        await until(lambda: pids().get("gateway 1") not in (None, before["gateway 1"]))
        await until(lambda: sum(1 for line in it.lines if "(internal" in line) == 3)
        after = pids()
        assert after["gateway 2"] == before["gateway 2"]

        it.process.send_signal(signal.SIGKILL)
        await it.process.wait()
        await until(lambda: not any(alive(pid) for pid in after.values()))


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not yet reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
