"""`revstream rebuild` on real Kafka: what it finds, what it leaves alone, what it sends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.kafka.batches import Record
from stream.topics import SALESFORCE_WRITES, TOPICS, changelog
from tables import customer_mapping
from tests.integration.conftest import PARTITIONS
from tests.integration.test_offsets import OLD, committed, revstream
from tests.integration.test_projector import DEADLINE, customer, projector, read, send, writes

MAPPING = changelog(customer_mapping.NAME)
COUNT = 4


async def rebuild(brokers: str, *words: str) -> tuple[int, Any, str]:
    """The command. It reads all there is, one partition after the other."""
    return await revstream(brokers, "rebuild", *words, within=120)


async def ends(brokers: str) -> dict[str, int]:
    """How many records each partition of each topic has ever had."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers)
    await consumer.start()
    places = [
        TopicPartition(topic.name, partition)
        for topic in TOPICS
        for partition in range(PARTITIONS if topic.partitioned else 1)
    ]
    try:
        found = await consumer.end_offsets(places)
    finally:
        await consumer.stop()
    return {f"{place.topic}:{place.partition}": end for place, end in found.items()}


async def worked(brokers: str, state: Path) -> dict[bytes, bytes]:
    """Has the projector work on some customers; gives their rows."""
    await send(brokers, *(customer(f"cus_{n}", OLD + n, name=f"Ada {n}") for n in range(COUNT)))
    async with projector(brokers, state):
        await read(brokers, SALESFORCE_WRITES, 2 * COUNT)
        rows = {record.key: record.value for record in await read(brokers, MAPPING, COUNT)}
    assert (await committed(brokers))[0] == COUNT
    return rows


def broken(row: bytes) -> bytes:
    """The row as a mistake in reading customers would have left it."""
    held: dict[str, Any] = msgspec.json.decode(row)
    for telling in held["customer"]["tellings"]:
        telling["body"]["name"] = "Mistaken"
    return msgspec.json.encode(held)


async def mistaken(brokers: str, state: Path) -> None:
    """Has the projector ask for what follows from a broken row: an event that comes again brings that about."""
    rows = await worked(brokers, state)
    again = customer("cus_1", OLD + 1, name="Ada 1")
    await send(brokers, Record(MAPPING, 0, b"cus_1", broken(rows[b"cus_1"])), again)
    async with projector(brokers, state):
        account, contact = (await writes(brokers, 2 * COUNT + 2))[2 * COUNT :]
    assert (account.fields["Name"], contact.fields["LastName"]) == ("Mistaken", "Mistaken")
    assert (await committed(brokers))[0] == COUNT + 1


DIFFERENCES = [
    {
        "record": "Account:cus_1",
        "account": "cus_1",
        "new": False,
        "fields": {"Name": {"before": "Mistaken", "after": "Ada 1"}},
    },
    {
        "record": "Contact:cus_1",
        "account": "cus_1",
        "new": False,
        "fields": {
            "FirstName": {"before": None, "after": "Ada"},
            "LastName": {"before": "Mistaken", "after": "1"},
        },
    },
]


async def test_a_dry_run_of_healthy_tables_finds_nothing(topics: str, tmp_path: Path) -> None:
    await worked(topics, tmp_path)
    code, told, error = await rebuild(topics, "--dry-run")
    assert (code, error) == (0, "")
    assert (told["events"], told["customers"]["full"], sum(told["customers"].values())) == (COUNT,) * 3
    assert told["rows"] == {"customer_mapping": 0, "subscriptions": 0}
    assert (told["new"], told["changed"], told["untold"]) == ({}, {}, [])


async def test_a_dry_run_tells_what_differs_and_changes_nothing(topics: str, tmp_path: Path) -> None:
    await mistaken(topics, tmp_path)
    before = await ends(topics), await committed(topics)
    code, told, error = await rebuild(topics, "--dry-run")
    assert (code, error) == (0, "")
    assert told["rows"] == {"customer_mapping": 1, "subscriptions": 0}
    assert (told["new"], told["changed"]) == ({}, {"Account": 1, "Contact": 1})
    assert sorted(told["differences"], key=lambda one: str(one["record"])) == DIFFERENCES
    assert (await ends(topics), await committed(topics)) == before

    _, told, _ = await rebuild(topics, "--dry-run", "--limit", "1")
    assert (len(told["differences"]), told["changed"]) == (1, {"Account": 1, "Contact": 1})


async def test_a_dry_run_goes_along_with_a_projector(topics: str, tmp_path: Path) -> None:
    await mistaken(topics, tmp_path)
    async with projector(topics, tmp_path) as process:
        await send(topics, customer("cus_9", OLD, name="Ada 9"))
        async with asyncio.timeout(DEADLINE):  # what it asks for is there before the row that it follows from
            while (await committed(topics))[0] != COUNT + 2:
                pass
        code, told, _ = await rebuild(topics, "--dry-run")
        assert process.returncode is None
    assert (code, told["changed"], told["new"]) == (0, {"Account": 1, "Contact": 1}, {})
