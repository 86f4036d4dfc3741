"""The projector as a process, on real Kafka."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from stream.kafka.batches import BatchProducer, Record
from stream.records import EventRef, Result, Write, decode_write, encode
from stream.topics import (
    DEAD_LETTERS,
    PROJECTOR_GROUP,
    SALESFORCE_RESULTS,
    SALESFORCE_WRITES,
    STRIPE_EVENTS,
    changelog,
)
from tests.integration.conftest import PARTITIONS

DEADLINE = 120.0


def customer(
    id_: str, created: int, type_: str = "customer.created", previous: Any = None, **fields: Any
) -> Record:
    """A customer event as the gateway would put it on the topic, in partition 0."""
    data: dict[str, Any] = {"object": {"id": id_, "object": "customer", **fields}}
    if previous is not None:
        data["previous_attributes"] = previous
    event_id = f"evt_{id_}_{created}_{type_}"
    body = json.dumps({"id": event_id, "object": "event", "type": type_, "created": created, "data": data})
    return event(id_, event_id, type_, created, body.encode())


def event(key: str, id_: str, type_: str, created: int, body: bytes) -> Record:
    headers = {"id": id_, "type": type_, "created": str(created), "received_at": "1700000000000"}
    return Record(
        STRIPE_EVENTS, 0, key.encode(), body, tuple((name, value.encode()) for name, value in headers.items())
    )


@asynccontextmanager
async def projector(
    brokers: str, state: Path, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The stage as its own process; ended by SIGTERM if the test has not ended it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "agents",
        stderr=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "KAFKA_BROKERS": brokers,
            "KAFKA_PARTITIONS": str(PARTITIONS),
            "KAFKA_SESSION_TIMEOUT_SECONDS": "30",
            "PROJECTOR_METRICS_LISTEN": "127.0.0.1:0",
            "REVSTREAM_STATE_DIR": str(state),
            **environment,
        },
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), DEADLINE)
        print(errors.decode())  # pytest shows it when the test fails


async def send(brokers: str, *records: Record) -> None:
    producer = BatchProducer({"bootstrap_servers": brokers})
    await producer.start()
    await producer.send(records)
    await producer.stop()


async def read(brokers: str, topic: str, count: int, partition: int = 0) -> list[Any]:
    """The first `count` records of a partition; fails when they do not come."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(topic, partition)])
    records: list[Any] = []
    try:
        async with asyncio.timeout(DEADLINE):
            while len(records) < count:
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    records += batch
    except TimeoutError:
        pytest.fail(f"{len(records)} of {count} records on {topic}")
    finally:
        await consumer.stop()
    return records


async def writes(brokers: str, count: int) -> list[Write]:
    return [decode_write(record.value) for record in await read(brokers, SALESFORCE_WRITES, count)]


async def committed(brokers: str) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(PROJECTOR_GROUP)
        held = offsets.get(TopicPartition(STRIPE_EVENTS, 0))
        return held.offset if held else -1
    finally:
        await admin.close()


async def test_a_customer_becomes_an_account_and_a_contact(topics: str, tmp_path: Path) -> None:
    await send(
        topics,
        customer("cus_1", 100, name="Ada Lovelace", email="Ada@Engines.example"),
        customer(
            "cus_1",
            101,
            "customer.updated",
            {"phone": None},
            name="Ada Lovelace",
            email="Ada@Engines.example",
            phone="+44 1",
        ),
    )
    async with projector(topics, tmp_path / "state" / "that is not there yet"):
        account, contact = await writes(topics, 2)
    assert (account.object, account.external_id, account.version) == ("Account", "cus_1", 101)
    assert (account.fields["Name"], account.fields["Phone"]) == ("Ada Lovelace", "+44 1")
    assert account.match is not None
    assert (account.match.email, account.match.domain) == ("ada@engines.example", "engines.example")
    assert [e.created for e in account.events] == [100, 101]
    assert (contact.fields["FirstName"], contact.fields["LastName"]) == ("Ada", "Lovelace")
    assert contact.parents["Account"].external_id == "cus_1"


@pytest.mark.parametrize("store", ["memory", "rocksdb"])
async def test_what_salesforce_confirmed_needs_no_match_and_survives_a_restart(
    topics: str, tmp_path: Path, store: str
) -> None:
    await send(topics, customer("cus_1", 100, name="Ada"))
    ref = EventRef("evt_1", "customer.created", 100, 1)
    result = Result("Account", "cus_1", "cus_1", 100, "created", (ref,), at=1, salesforce_id="001A")
    async with projector(topics, tmp_path, PROJECTOR_TABLE_STORE=store):
        await writes(topics, 2)
        await send(topics, Record(SALESFORCE_RESULTS, 0, result.key.encode(), encode(result)))
        await read(topics, changelog("customer_mapping"), 2)
    async with projector(topics, tmp_path, PROJECTOR_TABLE_STORE=store):
        await send(topics, customer("cus_1", 90, name="Old name"))
        account = (await writes(topics, 4))[2]
    assert account.match is None
    assert (account.fields["Name"], account.version) == ("Ada", 100)
    assert await committed(topics) == 2


async def test_undecodable_events_are_set_aside_with_the_original(topics: str, tmp_path: Path) -> None:
    broken = event("cus_1", "evt_1", "customer.created", 1, b'{"data": {"object": {"id": 7}}}')
    await send(topics, broken, customer("cus_2", 2))
    async with projector(topics, tmp_path):
        assert [write.external_id for write in await writes(topics, 2)] == ["cus_2", "cus_2"]
        (letter,) = await read(topics, DEAD_LETTERS, 1)
    assert letter.value == broken.value
    headers = dict(letter.headers)
    assert headers["id"] == b"evt_1"
    assert headers["revstream.errors.code"] == b"undecodable"
    assert b"$.id" in headers["revstream.errors.message"]
    assert (headers["revstream.errors.topic"], headers["revstream.errors.offset"]) == (b"stripe.events", b"0")


async def test_a_changelog_record_that_cannot_be_read_stops_the_worker(topics: str, tmp_path: Path) -> None:
    await send(
        topics,
        Record(changelog("customer_mapping"), 0, b"cus_1", b"\xff not json"),
        customer("cus_1", 100, name="Ada"),
    )
    # It ends without a word to Kafka, which the next of its group has to wait for.
    async with projector(topics, tmp_path, KAFKA_SESSION_TIMEOUT_SECONDS="6") as process:
        _, errors = await asyncio.wait_for(process.communicate(), DEADLINE)
    assert process.returncode == 1
    assert b"changelog of customer_mapping cannot be read at partition 0, offset 0" in errors
    assert await committed(topics) == -1
