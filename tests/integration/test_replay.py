"""Events that are read again: through a plan, and after a reset by another tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stream.records import REPLAY
from stream.topics import SALESFORCE_WRITES
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
