"""Ctrl-C of every command: it ends at once, with 130 and one line that says how things stand."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stream.topics import PROJECTOR_GROUP
from tests.integration.test_offsets import OLD, commit, committed, member, revstream
from tests.integration.test_projector import customer, send

DEADLINE = 120.0
REASON = ("--reason", "why")

COMMANDS = {
    ("offsets", "show"): "Nothing was changed.",
    ("offsets", "plan", "--to-earliest"): "no plan was written",
    ("replay", "--customer", "cus_1"): "Nothing was sent.",
    ("backfill", "--since", "YESTERDAY"): "Nothing was appended.",
    ("dead-letters", "list"): "Nothing was changed.",
    ("dead-letters", "show", "0:0"): "Nothing was changed.",
    ("dead-letters", "redrive", "--stage", "write", *REASON): "Nothing was sent.",
    ("dead-letters", "discard", "--stage", "write", *REASON): "None is closed.",
    ("pause", *REASON): "give it again",
    ("resume",): "give it again",
    ("topics", "create"): "Nothing is lost",
    ("topics", "copy", "--from", "KAFKA"): "Nothing was copied.",
    ("rebuild", "--dry-run"): "Nothing",
}


async def begun(brokers: str, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stream.cli", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "KAFKA_BROKERS": brokers, "STRIPE_API_KEY": "sk_test_nobody_is_asked"},
    )


async def interrupted(process: asyncio.subprocess.Process) -> str:
    """What a command said last, and that it ended as one that was interrupted."""
    process.send_signal(signal.SIGINT)
    _, errors = await asyncio.wait_for(process.communicate(), DEADLINE)
    assert process.returncode == 130, errors.decode()
    assert "Traceback" not in errors.decode()
    return errors.decode().splitlines()[-1]


async def heard(process: asyncio.subprocess.Process, text: str) -> None:
    """Waits until it has said something; a question has no end of line."""
    assert process.stderr is not None
    said = ""
    async with asyncio.timeout(DEADLINE):
        while text not in said:
            read = (await process.stderr.read(100)).decode()
            assert read, said
            said += read


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
async def test_while_kafka_does_not_answer(words: tuple[str, ...]) -> None:
    asked = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        brokers = f"127.0.0.1:{port}"
        known = {"KAFKA": brokers, "YESTERDAY": (datetime.now(UTC) - timedelta(days=1)).isoformat()}
        process = await begun(brokers, *(known.get(word, word) for word in words))
        await asyncio.wait_for(asked.wait(), DEADLINE)
        last = await interrupted(process)
    assert last.startswith("revstream: Stopped. ")
    assert COMMANDS[words] in last


async def test_at_a_question_and_while_members_are_waited_for(topics: str, tmp_path: Path) -> None:
    await send(topics, *(customer(f"cus_{n}", OLD) for n in range(3)))
    await commit(topics, 3)
    plan = str(tmp_path / "plan.json")
    assert (await revstream(topics, "offsets", "plan", "--to-earliest", "--out", plan))[0] == 0

    process = await begun(topics, "offsets", "apply", plan)
    await heard(process, PROJECTOR_GROUP + ") to go on")
    assert await interrupted(process) == "revstream: Stopped. Nothing was moved."
    process = await begun(topics, "replay", "--type", "customer.created")
    await heard(process, "[y/N]")
    assert await interrupted(process) == "revstream: Stopped. Nothing was sent."
    async with member(topics):
        process = await begun(topics, "offsets", "apply", plan, "--yes", "--wait", str(DEADLINE))
        await heard(process, "somebody")
        assert await interrupted(process) == "revstream: Stopped. Nothing was moved."
    assert (await committed(topics))[0] == 3
