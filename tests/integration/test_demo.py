"""`revstream demo` as its user runs it, also while one of its processes is killed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from stream.sandbox.salesforce import identifiers

DEADLINE = 400.0
# Of some 1,500 requests.
MIDDLE = 300


@asynccontextmanager
async def demo(state: Path, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stream.cli", "demo", "--customers", "40", "--seed", "3", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "REVSTREAM_STATE_DIR": str(state), **settings},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), DEADLINE)


async def until_the_middle(process: asyncio.subprocess.Process) -> str:
    """Waits until the gateway has taken webhooks enough; gives what was read of stderr meanwhile."""
    assert process.stderr is not None
    read = ""
    address = None
    while address is None:
        line = (await process.stderr.readline()).decode()
        assert line, read
        read += line
        if told := re.match(r"gateway +(http://\S+/metrics)", line):
            address = told[1]
    async with aiohttp.ClientSession() as http:
        while True:
            async with http.get(address) as answer:
                found = re.search(
                    r'revstream_http_requests_total\{code="200"\} (\d+)',
                    (await answer.text()).replace(".0", ""),
                )
            if found and int(found[1]) >= MIDDLE:
                return read
            assert process.returncode is None
            await asyncio.sleep(0.01)


def pid_of(name: str, state: Path) -> int:
    processes: dict[str, int] = json.loads(Path((state / "demo" / "processes").read_text()).read_text())
    return processes[name]


def check(outcome: bytes, killed: str) -> None:
    report: dict[str, Any] = json.loads(outcome.splitlines()[-1])
    assert report["lost"] == report["undelivered"] == 0
    assert report["events_accepted"] == report["events"]
    assert report["salesforce"].keys() >= {"Account", "Contact", "Opportunity", "Task", "Case"}
    for told in (*report["salesforce"].values(), report["set_aside"]):
        assert told["actual"] == told["expected"] > 0, told["examples"]
        assert told["wrong"] == 0, told["examples"]
    values = {name for name in report["money"] if name.startswith("lifetime value ")}
    assert report["money"].keys() - values == {"invoices", "payments", "failed payments"}
    assert {"lifetime value EUR", "lifetime value USD"} <= values
    for told in report["money"].values():
        assert told["actual"] == told["expected"], told["examples"]
        assert told["wrong"] == 0, told["examples"]
    # One customer could be either of two Accounts, and nothing is written of it.
    assert report["set_aside"]["expected"] == 1
    assert report["salesforce"]["Account"]["expected"] == 39 + 2
    # What comes in a later window than its Account is refused by Salesforce itself, as INVALID_FIELD.
    assert {"ambiguous_match", "parent_missing"} <= report["dead_letter_causes"].keys()
    assert report["dead_letter_causes"].keys() <= {"ambiguous_match", "parent_missing", "INVALID_FIELD"}
    assert report["told"].keys() == {"Slack", "mail"}
    for told in report["told"].values():
        assert told["wrong"] == 0, told["examples"]
        assert told["actual"] + told["cut_off"] == told["expected"] > 0
        # A notifier that dies leaves the message untold that it had marked.
        assert told["cut_off"] <= (killed in ("notifier", "kafka"))


# With a price book every Opportunity has products, and Salesforce sums up its Amount.
PRODUCTS = {"OPPORTUNITIES_PRICEBOOK": identifiers.make("01s", 1)}


@pytest.mark.parametrize(
    ("killed", "settings"),
    [
        ("nothing", {}),
        ("gateway", {}),
        ("projector", PRODUCTS),
        ("writer", PRODUCTS),
        ("notifier", {}),
        ("kafka", {}),
    ],
)
async def test_the_final_table_agrees_whatever_is_killed(
    tmp_path: Path, killed: str, settings: dict[str, str]
) -> None:
    async with asyncio.timeout(DEADLINE), demo(tmp_path, **settings) as process:
        read = await until_the_middle(process)
        if killed != "nothing":
            os.kill(pid_of(killed, tmp_path), signal.SIGKILL)
        outcome, errors = await process.communicate()
        print(read, errors.decode())
    assert process.returncode == 0
    check(outcome, killed)
