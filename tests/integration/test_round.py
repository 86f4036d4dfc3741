"""An engineer's round on a running demo: plan, apply and undo, and then a replay twice over."""

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

from stream.sandbox.demo import settled
from stream.settings import Kafka
from tests.integration.test_offsets import committed, revstream

DEADLINE = 300.0
OBJECTS = ("Account", "Contact", "Opportunity", "Task", "Case", "CampaignMember", "FeedItem")
# Salesforce notes when it was told something, whatever it was told.
TOLD_AT = {"SystemModstamp", "LastModifiedDate"}


class Running:
    """A demo that goes on, and what can be asked of it."""

    def __init__(self, said: str, http: aiohttp.ClientSession) -> None:
        self._at = dict(re.findall(r"(?m)^(\w+) +(?:http://)?(127\.0\.0\.1:\d+)", said))
        self._http = http
        self.kafka = self._at["Kafka"]

    async def records(self) -> dict[str, dict[str, Any]]:
        """What Salesforce holds, by object and ID."""
        found = {}
        for name in OBJECTS:
            async with self._http.get(f"http://{self._at['Salesforce']}/sandbox/records/{name}") as answer:
                found[name] = {
                    row["Id"]: {field: row[field] for field in row.keys() - TOLD_AT}
                    for row in await answer.json()
                }
        return found

    async def calls(self) -> int:
        """API calls that Salesforce has counted."""
        async with self._http.get(f"http://{self._at['Salesforce']}/sandbox/state") as answer:
            return int((await answer.json())["api_usage"]["used"])

    async def notices(self, outcome: str) -> float:
        """Notices that the notifier has come to this end with."""
        async with self._http.get(f"http://{self._at['notifier']}/metrics") as answer:
            text = await answer.text()
        return sum(
            float(count)
            for count in re.findall(rf'(?m)^revstream_notices_total{{.*outcome="{outcome}"}} (.+)$', text)
        )

    async def hold(self) -> None:
        """Has the projector leave its group, and waits until it has."""
        assert (await revstream(self.kafka, "pause", "--stage", "projector", "--reason", "a round"))[0] == 0
        async with asyncio.timeout(DEADLINE):
            while (await revstream(self.kafka, "offsets", "show"))[1]["members"]:
                pass

    async def rest(self) -> None:
        """Waits until all that was read is told."""
        await settled(Kafka(brokers=[self.kafka]))


@asynccontextmanager
async def demo(state: Path) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stream.cli", "demo", "--customers", "15", "--json", "--keep"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "REVSTREAM_STATE_DIR": str(state)},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    said = ""
    reading: asyncio.Task[bytes] | None = None
    try:
        async with asyncio.timeout(DEADLINE):
            while "goes on" not in said:
                line = (await process.stderr.readline()).decode()
                assert line, said
                said += line
            report: dict[str, Any] = {}
            while "lost" not in report:  # the local Salesforce tells its address before
                report = json.loads(await process.stdout.readline())
        assert report["lost"] == 0
        reading = asyncio.create_task(process.stderr.read())
        async with aiohttp.ClientSession() as http:
            yield Running(said, http)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        if reading is not None:
            await reading
        await asyncio.wait_for(process.wait(), DEADLINE)


async def test_plan_apply_undo_and_a_replay_twice_over(tmp_path: Path) -> None:
    async with demo(tmp_path / "demo") as running:
        before, told = await running.records(), await running.notices("sent")
        assert told > 0
        at = None
        for again in (1, 2):
            await running.hold()
            at = await committed(running.kafka)
            plan = str(tmp_path / f"plan-{again}.json")
            code, planned, _ = await revstream(
                running.kafka, "offsets", "plan", "--to-earliest", "--out", plan
            )
            assert (code, planned["again"]) == (0, sum(offset or 0 for offset in at.values()))
            code, done, _ = await revstream(running.kafka, "offsets", "apply", plan, "--yes")
            assert code == 0
            assert not any((await committed(running.kafka)).values())
            if again == 1:
                assert (await revstream(running.kafka, "offsets", "undo", done["undo"], "--yes"))[0] == 0
                assert await committed(running.kafka) == at
                assert (await revstream(running.kafka, "offsets", "apply", plan, "--yes"))[0] == 0
            used, muted = await running.calls(), await running.notices("replayed")
            assert (await revstream(running.kafka, "resume"))[0] == 0
            await running.rest()
            assert await running.records() == before
            assert await running.notices("sent") == told
            assert await running.notices("replayed") > muted
            least, most = planned["salesforce"]["calls"]
            # Half as few: rows of customers who are set aside are asked for, and written by nobody.
            assert least / 2 <= await running.calls() - used <= most, planned["salesforce"]
