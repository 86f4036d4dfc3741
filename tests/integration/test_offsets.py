"""`revstream offsets` on real Kafka: show, plan, apply, undo, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, OffsetAndMetadata, TopicPartition

from stream.kafka.batches import BatchProducer, Record
from stream.records import encode
from stream.settings import DEFAULT_MAPPING
from stream.topics import PROJECTOR_GROUP, SALESFORCE_WRITES, STRIPE_EVENTS, WRITER_GROUP
from tests.fakes.writes import account, contact
from tests.integration.conftest import PARTITIONS
from tests.integration.test_projector import customer, send

DEADLINE = 120.0
OLD = 1_700_000_000


def environment(brokers: str, partitions: int = PARTITIONS) -> dict[str, str]:
    """What a command is told of the cluster."""
    return {
        "KAFKA_BROKERS": brokers,
        "KAFKA_PARTITIONS": str(partitions),
        "KAFKA_SESSION_TIMEOUT_SECONDS": "20",  # on a busy machine
        "PATH": "",
    }


async def revstream(
    brokers: str, *words: str, within: float = DEADLINE, partitions: int = PARTITIONS
) -> tuple[int, Any, str]:
    """Exit code, standard output as JSON, standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "stream.cli",
        *words,
        "--json",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(brokers, partitions),
    )
    out, error = await asyncio.wait_for(process.communicate(), within)
    return process.returncode or 0, json.loads(out) if out else None, error.decode()


async def commit(brokers: str, offset: int, group: str = PROJECTOR_GROUP, topic: str = STRIPE_EVENTS) -> None:
    """Commits for partition 0."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, group_id=group, enable_auto_commit=False)
    await consumer.start()
    tp = TopicPartition(topic, 0)
    consumer.assign([tp])
    await consumer.commit({tp: OffsetAndMetadata(offset, "")})
    await consumer.stop()


@asynccontextmanager
async def member(brokers: str) -> AsyncIterator[None]:
    """Somebody in the projector's group."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=brokers, group_id=PROJECTOR_GROUP, enable_auto_commit=False, client_id="somebody"
    )
    consumer.subscribe([STRIPE_EVENTS])
    await consumer.start()
    try:
        await consumer.getmany(timeout_ms=0)
        yield
    finally:
        await consumer.stop()


async def committed(brokers: str) -> dict[int, int | None]:
    code, shown, _ = await revstream(brokers, "offsets", "show")
    assert code == 0
    return {p["partition"]: p["committed"] for p in shown["partitions"] if p["topic"] == STRIPE_EVENTS}


async def test_show_plan_apply_and_undo(topics: str, tmp_path: Path) -> None:
    await send(topics, *(customer(f"cus_{n}", OLD + n) for n in range(10)))
    await commit(topics, 8)
    file = str(tmp_path / "plan.json")

    code, shown, _ = await revstream(topics, "offsets", "show")
    first = next(p for p in shown["partitions"] if p["topic"] == STRIPE_EVENTS)
    assert (code, shown["group"], shown["state"]) == (0, PROJECTOR_GROUP, "Empty")
    assert (first["start"], first["committed"], first["end"], first["lag"]) == (0, 8, 10, 2)
    assert first["committed_at"] > OLD * 1000

    words = ("offsets", "plan", "--shift-by", "-5", "--partition", "0", "--out", file)
    code, told, _ = await revstream(topics, *words)
    assert (code, told["again"], told["types"]) == (0, 5, {"customer.created": 5})
    # No record of them is known: then it is one of each object.
    assert told["salesforce"]["rows"] == [5 * len(DEFAULT_MAPPING)] * 2
    assert told["salesforce"]["calls"] == [len(DEFAULT_MAPPING)] * 2
    assert (await committed(topics))[0] == 8, "a plan moves nothing"

    code, done, error = await revstream(topics, "offsets", "apply", file, "--yes")
    assert (code, error) == (0, "")
    assert (await committed(topics))[0] == 3

    code, _, error = await revstream(topics, "offsets", "apply", file, "--yes")
    assert code == 4
    assert "was committed at 8 and is at 3 now" in error

    code, _, _ = await revstream(topics, "offsets", "undo", done["undo"], "--yes")
    assert code == 0
    assert (await committed(topics))[0] == 8


async def test_a_plan_for_the_writer_says_what_it_would_write_again(topics: str, tmp_path: Path) -> None:
    writes = [account("cus_1"), account("cus_2"), contact("cus_1"), account("cus_1", 2)]
    producer = BatchProducer({"bootstrap_servers": topics})
    await producer.start()
    await producer.send(Record(SALESFORCE_WRITES, 0, one.key.encode(), encode(one)) for one in writes)
    await producer.stop()
    await commit(topics, len(writes), WRITER_GROUP, SALESFORCE_WRITES)
    file = str(tmp_path / "plan.json")
    code, told, _ = await revstream(
        topics, "offsets", "plan", "--stage", "writer", "--to-earliest", "--out", file
    )
    assert (code, told["again"], told["types"]) == (0, 4, {"Account": 3, "Contact": 1})


async def test_a_group_with_members_is_left_alone(topics: str, tmp_path: Path) -> None:
    await send(topics, *(customer(f"cus_{n}", OLD + n) for n in range(3)))
    await commit(topics, 3)
    file = str(tmp_path / "plan.json")
    code, _, _ = await revstream(topics, "offsets", "plan", "--to-earliest", "--out", file)
    assert code == 0
    async with member(topics):
        code, _, error = await revstream(topics, "offsets", "apply", file, "--yes")
        assert code == 3
        assert "somebody on 127.0.0.1" in error
        waiting = asyncio.create_task(
            revstream(topics, "offsets", "apply", file, "--yes", "--wait", str(DEADLINE))
        )
    code, _, error = await waiting
    assert (code, error) == (0, "")
    assert (await committed(topics))[0] == 0


async def test_what_is_not_in_the_log_is_refused_unless_asked_for(topics: str, tmp_path: Path) -> None:
    await send(topics, customer("cus_1", OLD))
    await commit(topics, 1)
    file = tmp_path / "plan.json"
    words = ("offsets", "plan", "--to-offset", "500", "--partition", "0", "--out", str(file))
    code, told, error = await revstream(topics, *words)
    assert code == 5
    assert told["plan"]["moves"][0]["mark"] == "CLAMPED"
    assert "--allow-clamp" in error
    assert not file.exists()
    code, _, _ = await revstream(topics, *words, "--allow-clamp")
    assert code == 0
    assert file.exists()


async def test_a_time_older_than_the_log_says_what_can_be_done(topics: str, tmp_path: Path) -> None:
    await send(topics, customer("cus_1", OLD))
    await commit(topics, 1)
    words = ("--to-datetime", "2020-01-01T00:00:00Z", "--out", str(tmp_path / "plan.json"))
    code, told, _ = await revstream(topics, "offsets", "plan", *words)
    assert code == 0
    assert told["plan"]["moves"][0]["target"] == 0
    (warning,) = told["warnings"]
    assert "cannot be replayed" in warning
    since = warning.rpartition("revstream backfill --since ")[2]
    assert 29 < (datetime.now(UTC) - datetime.fromisoformat(since)) / timedelta(days=1) < 30


async def test_a_time_without_zone_is_misuse(topics: str) -> None:
    code, _, error = await revstream(topics, "offsets", "plan", "--to-datetime", "2026-03-01T03:00:00")
    assert code == 2
    assert "In UTC" in error
