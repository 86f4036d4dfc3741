"""Events that are read again: through a plan, and after a reset by another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from stream.commands.replay import Chosen, Progress
from stream.records import REPLAY
from stream.topics import SALESFORCE_WRITES, STRIPE_EVENTS
from tests.integration.test_offsets import OLD, commit, committed, revstream
from tests.integration.test_projector import customer, projector, read, send


async def written(brokers: str, count: int) -> list[tuple[str, Any]]:
    """What the projector asked for: key, and whether it is marked as a replay."""
    records = await read(brokers, SALESFORCE_WRITES, count)
    return [(record.key.decode(), REPLAY in record.headers) for record in records]


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


async def test_after_a_reset_by_another_tool_the_current_record_is_sent_again(
    topics: str, tmp_path: Path
) -> None:
    older = customer("cus_1", OLD, name="Ada")
    newer = customer("cus_1", OLD + 5, "customer.updated", {"name": "Ada"}, name="Ada Lovelace")
    await send(topics, older, newer)
    async with projector(topics, tmp_path):
        await read(topics, SALESFORCE_WRITES, 2)
    assert (await committed(topics))[0] == 2
    # What kafka-consumer-groups --reset-offsets --execute sends: an OffsetCommit from outside of the group.
    await commit(topics, 0)
    async with projector(topics, tmp_path):
        first = (await read(topics, SALESFORCE_WRITES, 2))[:2]
        again = (await read(topics, SALESFORCE_WRITES, 4))[-2:]
    assert b"Ada Lovelace" in again[0].value
    assert [record.key for record in again] == [record.key for record in first]


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
