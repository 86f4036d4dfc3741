"""Events that are read again: through a plan, and after a reset by another tool."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from stream.kafka.batches import Record
from stream.kafka.offsets import Offsets
from stream.listen import free_address
from stream.records import REPLAY
from stream.replay import Chosen, Progress
from stream.sandbox.salesforce import LocalSalesforce
from stream.settings import CUSTOMER_ID_FIELD, Kafka
from stream.topics import (
    NOTICES,
    PROJECTOR_GROUP,
    SALESFORCE_RESULTS,
    SALESFORCE_WRITES,
    STRIPE_EVENTS,
    WRITER_GROUP,
)
from tests.fakes.writes import account
from tests.integration.org import seeded
from tests.integration.test_offsets import OLD, committed, revstream
from tests.integration.test_projector import DEADLINE, customer, projector, read, send
from tests.integration.test_rebuild import ends
from tests.integration.test_writer import Line, writer
from tests.money import invoice
from tests.stock_tool import kafka_consumer_groups
from tests.touched import record


async def written(brokers: str, count: int) -> list[tuple[str, Any]]:
    """What the projector asked for: key, and whether it is marked as a replay."""
    records = await read(brokers, SALESFORCE_WRITES, count)
    return [(record.key.decode(), REPLAY in record.headers) for record in records]


async def scraped(listen: str) -> str:
    async with aiohttp.ClientSession() as client, client.get(f"http://{listen}/metrics") as answer:
        return await answer.text()


def phases(exported: str) -> Counter[str]:
    """How many rows the writer has counted, by phase."""
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(exported):
        for sample in family.samples:
            if sample.name == "revstream_salesforce_rows_total":
                found[sample.labels["phase"]] += int(sample.value)
    return found


async def test_a_planned_replay_marks_what_was_read_before_and_nothing_else(
    topics: str, tmp_path: Path
) -> None:
    await send(topics, customer("cus_1", OLD), customer("cus_2", OLD))
    async with projector(topics, tmp_path):
        await written(topics, 4)
    assert (await committed(topics))[0] == 2

    plan = str(tmp_path / "plan.json")
    words = ("offsets", "plan", "--shift-by", "-1", "--partition", "0", "--out", plan)
    assert (await revstream(topics, *words))[0] == 0
    # The projector has left its group in order: nothing need be waited for.
    code, _, error = await revstream(topics, "offsets", "apply", plan, "--yes")
    assert (code, error) == (0, "")
    await send(topics, customer("cus_3", OLD))
    async with projector(topics, tmp_path):
        told = await written(topics, 8)
    assert told[:4] == [
        ("Account:cus_1", False),
        ("Contact:cus_1", False),
        ("Account:cus_2", False),
        ("Contact:cus_2", False),
    ]
    assert sorted(told[4:]) == [
        ("Account:cus_2", True),
        ("Account:cus_3", False),
        ("Contact:cus_2", True),
        ("Contact:cus_3", False),
    ]


@pytest.mark.parametrize(
    ("words", "at"),
    [
        (("--reset-offsets", "--topic", STRIPE_EVENTS, "--to-earliest", "--execute"), 0),
        (("--delete",), None),
    ],
)
async def test_what_the_stock_tool_resets_is_a_replay_up_to_where_the_group_was(
    topics: str, tmp_path: Path, words: tuple[str, ...], at: int | None
) -> None:
    older = customer("cus_1", OLD, name="Ada")
    newer = customer("cus_1", OLD + 5, "customer.updated", {"name": "Ada"}, name="Ada Lovelace")
    await send(topics, older, newer, customer("cus_2", OLD, name="Grace"))
    async with LocalSalesforce() as salesforce, Line(topics) as line, writer(line, salesforce):
        async with projector(topics, tmp_path):
            assert {result.outcome for result in await line.until(4)} == {"created"}
        assert (await committed(topics))[0] == 3
        told = await kafka_consumer_groups(topics, "--group", PROJECTOR_GROUP, *words)
        assert PROJECTOR_GROUP in told
        assert (await committed(topics))[0] == at
        await send(topics, customer("cus_3", OLD, name="Edsger"))
        listen = free_address()
        async with projector(topics, tmp_path, PROJECTOR_METRICS_LISTEN=listen):
            results = (await line.until(10))[4:]
            exported = await scraped(listen)
    # The writer has been running all along, and has confirmed just these records itself.
    assert Counter(result.outcome for result in results) == {"updated": 4, "created": 2}
    assert sorted((await written(topics, 10))[4:]) == [
        ("Account:cus_1", True),
        ("Account:cus_2", True),
        ("Account:cus_3", False),
        ("Contact:cus_1", True),
        ("Contact:cus_2", True),
        ("Contact:cus_3", False),
    ]
    assert b"Ada Lovelace" in (await read(topics, SALESFORCE_WRITES, 10))[4].value
    for labels, count in (
        ('outcome="applied",phase="replay",reason="older_or_known"', 3),
        ('outcome="applied",phase="live",reason="new"', 1),
        ('outcome="applied",phase="replay",reason="new"', 0),
    ):
        assert f"revstream_events_processed_total{{{labels}}} {count}.0" in exported


def owners(salesforce: LocalSalesforce) -> dict[str, Any]:
    """Whose each Task is."""
    return {str(task["Id"]): task["OwnerId"] for task in salesforce.org.store.rows("Task")}


async def caught_up(brokers: str) -> int:
    """How many writes there are, once the projector has read all of Stripe's events and Salesforce's answers."""
    async with Offsets(Kafka(brokers=[brokers])) as cluster, asyncio.timeout(DEADLINE):
        read = (STRIPE_EVENTS, SALESFORCE_RESULTS)
        while any(one.lag for one in await cluster.positions(PROJECTOR_GROUP, read)):
            pass
        return sum(one.end for one in await cluster.positions(WRITER_GROUP, [SALESFORCE_WRITES]))


async def test_what_the_stock_tool_resets_of_the_writer_is_a_replay_up_to_where_it_was(
    topics: str, tmp_path: Path
) -> None:
    unpaid = record(
        "invoice.payment_failed",
        invoice(attempt_count=1, amount_remaining=1000),
        created=OLD + 1,
        id_="evt_1",
    )
    await send(
        topics,
        customer("cus_1", OLD, name="Ada"),
        Record(STRIPE_EVENTS, 0, unpaid.key, unpaid.value, tuple(unpaid.headers)),
    )
    async with LocalSalesforce() as salesforce, Line(topics) as line:
        users = [
            await seeded(
                salesforce, "User", Username=f"{name}@example.com", LastName=name, Email="x@example.com"
            )
            for name in ("grace", "edsger")
        ]
        owned = {"Name": "Ada", "OwnerId": users[0], CUSTOMER_ID_FIELD: "cus_1"}
        account_id = await seeded(salesforce, "Account", **owned)
        async with projector(topics, tmp_path), writer(line, salesforce):
            count = await caught_up(topics)
            await line.until(count)
            assert await caught_up(topics) == count
        before = await ends(topics)
        tasks = owners(salesforce)
        assert users[0] in tasks.values()
        assert before[f"{NOTICES}:0"] > 0
        org = salesforce.org
        accounts = org.schema.entities["Account"]
        _, locked = await org.transact(lambda dml: dml.update(accounts, account_id, {"OwnerId": users[1]}))
        org.locks.free(locked)

        words = ("--reset-offsets", "--topic", SALESFORCE_WRITES, "--to-earliest", "--execute")
        assert WRITER_GROUP in await kafka_consumer_groups(topics, "--group", WRITER_GROUP, *words)
        assert {offset for offset, _ in (await line.committed()).values()} == {0}
        await line.put(account("cus_9"))
        listen = free_address()
        async with projector(topics, tmp_path), writer(line, salesforce, WRITER_METRICS_LISTEN=listen):
            await line.until(2 * count + 1)
            async with asyncio.timeout(DEADLINE):  # an outcome is counted once it is told
                while phases(exported := await scraped(listen)).total() <= count:
                    pass
            assert await caught_up(topics) == count + 1

        # Every write was sent again, and nothing follows from it: no notice, no write, no Task, no other owner.
        assert phases(exported) == {"replay": count, "live": 1}
        assert "revstream_end_to_end_duration_seconds_count 1.0" in exported
        after = await ends(topics)
        assert (after[f"{NOTICES}:0"], len(line.results)) == (before[f"{NOTICES}:0"], 2 * count + 1)
        assert owners(salesforce) == tasks


async def test_one_customer_is_replayed_exactly_and_no_replay_is_replayed(
    topics: str, tmp_path: Path
) -> None:
    await send(topics, customer("cus_1", OLD), customer("cus_2", OLD), customer("cus_1", OLD + 1))
    file = tmp_path / "progress.json"
    words = ("replay", "--customer", "cus_1", "--yes", "--progress", str(file))
    code, told, _ = await revstream(topics, *words, "--dry-run")
    assert (code, told["events"], told["customers"], told["sent"]) == (0, 2, 1, 0)
    assert not file.exists()
    for _ in range(2):  # the second time finds the originals alone
        code, told, _ = await revstream(topics, *words)
        assert (code, told["sent"]) == (0, 2)
    records = await read(topics, STRIPE_EVENTS, 7)
    for copy, original in zip(records[3:5], (records[0], records[2]), strict=True):
        assert (copy.key, copy.value) == (original.key, original.value)
        assert tuple(copy.headers) == (*original.headers, REPLAY)
    # What is finished has nothing left to go on with.
    code, told, _ = await revstream(topics, "replay", "--resume", str(file), "--yes")
    assert (code, told["events"], told["sent"]) == (0, 0, 2)


async def test_a_replay_that_was_stopped_goes_on_where_it_was(topics: str, tmp_path: Path) -> None:
    await send(topics, *(customer(f"cus_{n}", OLD) for n in range(4)))
    file = tmp_path / "progress.json"
    file.write_bytes(msgspec.json.encode(Progress(Chosen(type="customer.created"), {0: (2, 4)}, sent=2)))
    code, told, _ = await revstream(topics, "replay", "--resume", str(file), "--yes")
    assert (code, told["events"], told["sent"]) == (0, 2, 4)
    copies = (await read(topics, STRIPE_EVENTS, 6))[4:]
    assert [record.key for record in copies] == [b"cus_2", b"cus_3"]
