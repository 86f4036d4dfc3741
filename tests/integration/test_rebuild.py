"""`revstream rebuild` on real Kafka: what it finds, what it leaves alone, what it sends."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.kafka.batches import Record
from stream.kafka.guard import Guard
from stream.kafka.offsets import Offsets
from stream.kafka.worker import WorkerError
from stream.records import REPLAY
from stream.sandbox.salesforce import LocalSalesforce
from stream.settings import Kafka
from stream.stage import FAILED
from stream.topics import NOTICES, PROJECTOR_GROUP, SALESFORCE_WRITES, STRIPE_EVENTS, TOPICS, changelog
from tables import customer_mapping
from tests.integration.conftest import PARTITIONS
from tests.integration.test_offsets import OLD, commit, committed, environment, revstream
from tests.integration.test_projector import DEADLINE, customer, projector, read, send, writes
from tests.integration.test_recovery import Worker, ready
from tests.integration.test_writer import Line, records, writer
from tests.unit.test_churn import began

MAPPING = changelog(customer_mapping.NAME)
COUNT = 4


async def rebuild(brokers: str, *words: str) -> tuple[int, Any, str]:
    """The command. It reads all there is, one partition after the other."""
    return await revstream(brokers, "rebuild", *words, within=120)


async def says(process: asyncio.subprocess.Process, text: bytes) -> None:
    """Waits until it has said something."""
    assert process.stderr is not None
    async with asyncio.timeout(60):
        while text not in await process.stderr.readline():
            assert process.returncode is None


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
    assert code == 0, error
    assert (told["events"], told["customers"]["full"], sum(told["customers"].values())) == (COUNT,) * 3
    assert told["rows"] == {"customer_mapping": 0, "subscriptions": 0}
    assert (told["new"], told["changed"], told["untold"]) == ({}, {}, [])


async def test_a_dry_run_tells_what_differs_and_changes_nothing(topics: str, tmp_path: Path) -> None:
    await mistaken(topics, tmp_path)
    before = await ends(topics), await committed(topics)
    code, told, error = await rebuild(topics, "--dry-run")
    assert code == 0, error
    assert told["rows"] == {"customer_mapping": 1, "subscriptions": 0}
    assert (told["new"], told["changed"]) == ({}, {"Account": 1, "Contact": 1})
    assert sorted(told["differences"], key=lambda one: str(one["record"])) == DIFFERENCES
    assert (await ends(topics), await committed(topics)) == before

    _, told, _ = await rebuild(topics, "--dry-run", "--limit", "1")
    assert (len(told["differences"]), told["changed"]) == (1, {"Account": 1, "Contact": 1})


async def test_a_rebuild_mends_what_is_wrong_and_sends_nothing_else(topics: str, tmp_path: Path) -> None:
    await mistaken(topics, tmp_path)
    before = await ends(topics)
    code, told, error = await rebuild(topics, "--yes", "--wait", "60")
    assert code == 0, error
    assert (told["changed"], told["new"]) == ({"Account": 1, "Contact": 1}, {})
    after = await ends(topics)
    assert {place: after[place] - before[place] for place in after if after[place] != before[place]} == {
        f"{SALESFORCE_WRITES}:0": 2,
        f"{MAPPING}:0": 1,
    }
    sent = (await read(topics, SALESFORCE_WRITES, 2 * COUNT + 4))[-2:]
    assert [(record.key, REPLAY in record.headers) for record in sent] == [
        (b"Account:cus_1", True),
        (b"Contact:cus_1", True),
    ]
    assert (await committed(topics))[0] == COUNT + 1

    # There is nothing left to do, and the projector goes on with the mended row.
    assert (await rebuild(topics, "--yes"))[1]["rows"] == {"customer_mapping": 0, "subscriptions": 0}
    assert await ends(topics) == after
    async with projector(topics, tmp_path):
        await send(topics, customer("cus_1", OLD + 1, name="Ada 1"))
        account = (await writes(topics, 2 * COUNT + 6))[-2]
    assert account.fields["Name"] == "Ada 1"


async def test_a_row_that_cannot_be_read_is_made_anew_and_the_projector_begins(
    topics: str, tmp_path: Path
) -> None:
    await worked(topics, tmp_path)
    await send(topics, Record(MAPPING, 0, b"cus_1", b"{"))
    async with projector(topics, tmp_path) as process:
        await says(process, b"customer_mapping cannot be read at partition 0")
    assert process.returncode == FAILED
    code, told, error = await rebuild(topics, "--yes", "--wait", "60")
    assert (code, told["rows"], told["changed"]) == (0, {"customer_mapping": 1, "subscriptions": 0}, {}), (
        error
    )
    # The record is there still, until compaction comes to it.
    async with projector(topics, tmp_path):
        await send(topics, customer("cus_1", OLD + 1, name="Ada 1"))
        account = (await writes(topics, 2 * COUNT + 2))[-2]
    assert account.fields["Name"] == "Ada 1"


async def test_what_was_sent_before_a_crash_is_not_sent_again(topics: str, tmp_path: Path) -> None:
    await mistaken(topics, tmp_path)
    wrong = (await ends(topics))[f"{SALESFORCE_WRITES}:0"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agents.rebuild", "--yes", "--wait", "60", env=environment(topics)
    )
    async with asyncio.timeout(120):
        while (await ends(topics))[f"{SALESFORCE_WRITES}:0"] == wrong:
            pass
    if process.returncode is None:  # wherever it is now
        process.kill()
    await process.wait()
    code, _, error = await rebuild(topics, "--yes", "--wait", "60")
    assert code == 0, error
    assert (await ends(topics))[f"{SALESFORCE_WRITES}:0"] == wrong + 2

    # Killed between the records and the rows it leaves rows to be mended, and nothing to be sent. Where the offsets
    # have been moved to since does not matter.
    await commit(topics, 0)
    rows = {one.key: one.value for one in await read(topics, MAPPING, COUNT + 2)}
    await send(topics, Record(MAPPING, 0, b"cus_1", broken(rows[b"cus_1"])))
    code, told, _ = await rebuild(topics, "--yes", "--wait", "60")
    assert (code, told["rows"]["customer_mapping"], told["changed"]) == (0, 1, {})
    assert (await ends(topics))[f"{SALESFORCE_WRITES}:0"] == wrong + 2


async def test_no_projector_runs_meanwhile(topics: str, tmp_path: Path) -> None:
    kafka = Kafka(brokers=[topics], partitions=PARTITIONS)
    await send(topics, customer("cus_1", OLD))
    async with projector(topics, tmp_path):
        await writes(topics, 2)
        code, _, error = await rebuild(topics, "--yes")
        assert (code, "has members" in error) == (3, True)
    async with Offsets(kafka) as cluster:
        await cluster.until_inactive(PROJECTOR_GROUP, 60)
        async with Guard(kafka, cluster, PROJECTOR_GROUP, STRIPE_EVENTS) as guard:
            async with projector(topics, tmp_path) as process:
                await says(process, b"is guarded")
            # It waits, and ends when it is told to.
            assert process.returncode == 0
            code, _, error = await rebuild(topics, "--yes")
            assert (code, "revstream-guard" in error) == (3, True)
            await guard.check()
            waiting = projector(topics, tmp_path)
            await says(await waiting.__aenter__(), b"is guarded")
        # Let go, it begins.
        await send(topics, customer("cus_2", OLD))
        await writes(topics, 4)
        await waiting.__aexit__(None, None, None)


async def test_a_projector_whom_the_guard_forestalls_ends(topics: str, tmp_path: Path) -> None:
    """It looked just before the guard came."""
    kafka = Kafka(brokers=[topics], partitions=PARTITIONS)
    async with Offsets(kafka) as cluster, Guard(kafka, cluster, PROJECTOR_GROUP, STRIPE_EVENTS) as guard:
        with pytest.raises(WorkerError, match="guarded, as by a rebuild"):
            async with ready(Worker(topics, tmp_path, "memory")):
                pass
        await guard.check()


async def test_a_projector_that_was_thought_dead_ends_and_then_waits(topics: str, tmp_path: Path) -> None:
    kafka = Kafka(brokers=[topics], partitions=PARTITIONS)
    await send(topics, customer("cus_1", OLD))
    async with Offsets(kafka) as cluster:
        async with projector(topics, tmp_path, KAFKA_SESSION_TIMEOUT_SECONDS="6") as frozen:
            await writes(topics, 2)
            frozen.send_signal(signal.SIGSTOP)
            await cluster.until_inactive(PROJECTOR_GROUP, 60)
            async with Guard(kafka, cluster, PROJECTOR_GROUP, STRIPE_EVENTS) as guard:
                frozen.send_signal(signal.SIGCONT)
                await says(frozen, b"not taken into its group")
                assert await asyncio.wait_for(frozen.wait(), 60) == FAILED
                async with projector(topics, tmp_path) as again:
                    await says(again, b"is guarded")
                await guard.check()
        async with projector(topics, tmp_path):
            await send(topics, customer("cus_2", OLD))
            await writes(topics, 4)


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


async def linked(brokers: str) -> bytes:
    """The row of cus_1, once Salesforce's answers are in it."""
    count = 1
    while True:
        records = await read(brokers, MAPPING, count)
        count = len(records) + 1
        rows = [one.value for one in records if one.key == b"cus_1"]
        if rows and b'"contact":{' in rows[-1]:
            return bytes(rows[-1])


async def test_the_differing_records_alone_reach_salesforce(topics: str, tmp_path: Path) -> None:
    async with LocalSalesforce() as sandbox, Line(topics) as line:
        await _differing_alone(sandbox, line, tmp_path)


async def _differing_alone(sandbox: LocalSalesforce, line: Line, state: Path) -> None:
    topics = line.brokers
    begun = began(at=OLD + 5).record
    assert begun.key == b"cus_1"
    await send(
        topics,
        customer("cus_1", OLD + 1, name="Ada 1"),
        customer("cus_2", OLD + 1, name="Ada 2"),
        Record(STRIPE_EVENTS, 0, begun.key, begun.value, tuple(begun.headers)),
    )
    async with writer(line, sandbox):
        async with projector(topics, state):
            await line.until(5)
            row = await linked(topics)
        await send(
            topics, Record(MAPPING, 0, b"cus_1", broken(row)), customer("cus_1", OLD + 1, name="Ada 1")
        )
        async with projector(topics, state):
            await line.until(7)
        assert records(sandbox, "Account")["cus_1"]["Name"] == "Mistaken"
        before = {
            (name, row["Id"]) for name in ("Account", "Contact") for row in records(sandbox, name).values()
        }
        notices = (await ends(topics))[f"{NOTICES}:0"]

        code, told, error = await rebuild(topics, "--yes", "--wait", "60")
        assert code == 0, error
        assert (told["new"], told["changed"]) == ({}, {"Account": 1, "Contact": 1})
        sent = (await line.until(9))[7:]
    assert {(one.key, one.outcome) for one in sent} == {
        ("Account:cus_1", "updated"),
        ("Contact:cus_1", "updated"),
    }
    assert len(line.results) == 9
    assert records(sandbox, "Account")["cus_1"]["Name"] == "Ada 1"
    # The same records, known by the same IDs, and nobody is told.
    after = {(name, row["Id"]) for name in ("Account", "Contact") for row in records(sandbox, name).values()}
    assert after == before
    assert b'"contact":{' in await linked(topics)
    assert notices > 0
    assert (await ends(topics))[f"{NOTICES}:0"] == notices
