"""The local Salesforce as a process of its own."""

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

import aiohttp

from tests.integration.sandbox_salesforce.conftest import DEADLINE_SECONDS, KEY, VERSION

LOGIN = {"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox"}


class Running:
    """A process, and a client that is logged in."""

    def __init__(self, process: asyncio.subprocess.Process, told: dict[str, Any]) -> None:
        self.process = process
        self.told = told
        self.token = ""

    async def __call__(self, method: str, path: str, **told: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", **told.pop("headers", {})}
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_SECONDS)) as session:
            url = f"{self.told['url']}{path}"
            async with session.request(method, url, headers=headers, **told) as answer:
                text = await answer.text()
                assert answer.status < 300, text
                return json.loads(text) if answer.content_type == "application/json" and text else text


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[Running]:
    command = (sys.executable, "-m", "stream.sandbox.salesforce", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), DEADLINE_SECONDS)
        found = Running(process, json.loads(line))
        found.token = (await found("POST", "/services/oauth2/token", data=LOGIN))["access_token"]
        yield found
    finally:
        if process.returncode is None:
            process.terminate()  # so that it takes its temporary folder with it
            await asyncio.wait_for(process.wait(), DEADLINE_SECONDS)


def trusted(org: Running) -> bytes | None:
    """The CA that clients are to trust; None when it is gone."""
    file = Path(org.told["ca_file"])
    return file.read_bytes() if file.exists() else None


async def upsert(org: Running, numbers: range) -> None:
    rows = [{"attributes": {"type": "Account"}, KEY: f"cus_{n}", "Name": f"n{n}"} for n in numbers]
    results = await org("PATCH", f"{VERSION}/composite/sobjects/Account/{KEY}", json={"records": rows})
    assert all(row["success"] for row in results)


async def test_it_says_where_it_is_and_ends_when_told(tmp_path: Path) -> None:
    async with running("--daily-limit", "7", "--client-id", "sandbox") as org:
        assert org.told["pid"] == org.process.pid
        assert trusted(org)
        assert (await org("GET", "/sandbox/state"))["api_usage"] == {"used": 0, "total": 7}
        org.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(org.process.wait(), DEADLINE_SECONDS) == 0
        assert trusted(org) is None


async def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    async with running("--state", state) as org:
        await upsert(org, range(100))
        await org("PATCH", "/sandbox/schema", json={"Account": {"fields": {"Plan__c": {"length": 20}}}})
        await org("PATCH", f"{VERSION}/sobjects/Account/{KEY}/cus_1", json={"Plan__c": "Pro"})
        await org("DELETE", f"{VERSION}/sobjects/Account/{KEY}/cus_99")
        before = await org("GET", "/sandbox/records/Account")
        ca = trusted(org)
        os.kill(org.process.pid, signal.SIGKILL)
        await org.process.wait()
    async with running("--state", state) as org:
        assert sorted(await org("GET", "/sandbox/records/Account"), key=lambda row: row["Id"]) == before
        assert len(before) == 99
        assert next(row["Plan__c"] for row in before if row[KEY] == "cus_1") == "Pro"
        assert trusted(org) == ca
        await upsert(org, range(90, 110))
        counts = (await org("GET", "/sandbox/state"))["records"]
        assert (counts["Account"], counts["User"], counts["Pricebook2"]) == (110, 1, 1)


async def test_a_bulk_job_goes_on_after_a_kill(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    jobs = f"{VERSION}/jobs/ingest"
    rows = 2000
    data = f"{KEY},Name\n" + "".join(f"cus_{n},n{n}\n" for n in range(rows))
    told = {"object": "Account", "operation": "upsert", "externalIdFieldName": KEY, "contentType": "CSV"}
    # Each chunk of 200 takes 0.2 s, so the kill comes while the job is being worked on.
    async with running("--state", state, "--bulk-delay-seconds", "0", "--latency-seconds", "0.2") as org:
        job = (await org("POST", jobs, json=told))["id"]
        await org("PUT", f"{jobs}/{job}/batches", data=data.encode(), headers={"Content-Type": "text/csv"})
        await org("PATCH", f"{jobs}/{job}", json={"state": "UploadComplete"})
        while not (await org("GET", f"{jobs}/{job}"))["numberRecordsProcessed"]:  # noqa: ASYNC110  another process
            await asyncio.sleep(0.01)
        os.kill(org.process.pid, signal.SIGKILL)
        await org.process.wait()
    async with running("--state", state) as org:
        info = await org("GET", f"{jobs}/{job}")
        assert 0 < info["numberRecordsProcessed"] <= rows
        while info["state"] != "JobComplete":
            await asyncio.sleep(0.01)
            info = await org("GET", f"{jobs}/{job}")
        assert (info["numberRecordsProcessed"], info["numberRecordsFailed"]) == (rows, 0)
        results = await org("GET", f"{jobs}/{job}/successfulResults")
        lines = results.splitlines()[1:]
        assert len(lines) == rows
        assert all(",true,cus_" in line for line in lines)  # no row was worked on twice
        assert (await org("GET", "/sandbox/state"))["records"]["Account"] == rows


async def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    async with running() as org:
        port = org.told["url"].rpartition(":")[2]
        command = (sys.executable, "-m", "stream.sandbox.salesforce", "--port", port)
        second = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        _, error = await asyncio.wait_for(second.communicate(), DEADLINE_SECONDS)
        assert second.returncode == 1
        assert error.decode().startswith("Error: ")
        assert error.count(b"\n") == 1
