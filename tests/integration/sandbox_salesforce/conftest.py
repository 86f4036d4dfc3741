"""A local Salesforce and a client of it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest_asyncio

from stream.sandbox.salesforce import Fault, LocalSalesforce

KEY = "Stripe_Customer_Id__c"
VERSION = "/services/data/v65.0"
DEADLINE_SECONDS = 120


@dataclass(frozen=True)
class Reply:
    """An answer: status, decoded body and headers."""

    status: int
    body: Any
    headers: dict[str, str]

    @property
    def code(self) -> str:
        """The code of a refusal."""
        return str(self.body[0]["errorCode"])

    @property
    def codes(self) -> list[str | None]:
        """The code of each row, None for one that went through."""
        return [row["errors"][0]["statusCode"] if row["errors"] else None for row in self.body]


class Caller:
    """Calls a local Salesforce as a client that is logged in."""

    def __init__(self, salesforce: LocalSalesforce, session: aiohttp.ClientSession) -> None:
        self.salesforce = salesforce
        self.org = salesforce.org
        self.session = session
        self.token = salesforce.api.tokens.issue()

    async def __call__(self, method: str, path: str, **told: Any) -> Reply:
        url = self.salesforce.url + (path if path.startswith("/services") else VERSION + path)
        headers = {"Authorization": f"Bearer {self.token}", **told.pop("headers", {})}
        async with self.session.request(method, url, headers=headers, **told) as answer:
            text = await answer.text()
            body = json.loads(text) if answer.content_type == "application/json" and text else text
            return Reply(answer.status, body, dict(answer.headers))

    async def admin(self, method: str, path: str, **told: Any) -> Reply:
        """A call of the sandbox itself."""
        async with self.session.request(method, f"{self.salesforce.url}/sandbox{path}", **told) as answer:
            return Reply(answer.status, await answer.json(), dict(answer.headers))

    def arm(self, *faults: Fault) -> None:
        """Lets something go wrong."""
        for fault in faults:
            self.org.faults.arm(fault)

    async def options(self, **changes: Any) -> None:
        """Changes how the org behaves."""
        assert (await self.admin("PATCH", "/options", json=changes)).status == 200

    async def create(self, name: str, **fields: Any) -> str:
        """A new record; gives its ID."""
        reply = await self("POST", f"/sobjects/{name}", json=fields)
        assert reply.status == 201, reply.body
        return str(reply.body["id"])

    async def upsert(self, name: str, *rows: dict[str, Any], **told: Any) -> Reply:
        """Collections upsert by the customer's ID."""
        records = [{"attributes": {"type": name}, **row} for row in rows]
        return await self("PATCH", f"/composite/sobjects/{name}/{KEY}", json={"records": records, **told})

    async def select(self, query: str) -> list[dict[str, Any]]:
        """The records of a query, without their attributes."""
        reply = await self("GET", "/query", params={"q": query})
        assert reply.status == 200, reply.body
        return [{name: v for name, v in row.items() if name != "attributes"} for row in reply.body["records"]]

    async def job(self, data: str, *, close: bool = True, **told: Any) -> str:
        """A new Bulk job with its data; gives its ID."""
        body = {"object": "Account", "operation": "upsert", "externalIdFieldName": KEY, "contentType": "CSV"}
        opened = await self("POST", "/jobs/ingest", json=body | told)
        assert (opened.status, opened.body["state"]) == (200, "Open")
        job = f"/jobs/ingest/{opened.body['id']}"
        sent = await self("PUT", f"{job}/batches", data=data.encode(), headers={"Content-Type": "text/csv"})
        assert (sent.status, sent.body) == (201, "")
        if close:
            closed = await self("PATCH", job, json={"state": "UploadComplete"})
            assert (closed.status, closed.body["state"]) == (200, "UploadComplete")
        return job

    async def until(self, job: str, *states: str) -> dict[str, Any]:
        """What is told of a job once it is in one of these states."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            told: dict[str, Any] = (await self("GET", job)).body
            if told["state"] in states:
                return told
            await asyncio.sleep(0.01)
        raise TimeoutError(f"{job} is {told['state']}")

    async def results(self, job: str, which: str) -> list[dict[str, str]]:
        """One of a job's results."""
        reply = await self("GET", f"{job}/{which}/")
        assert (reply.status, reply.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
        return list(csv.DictReader(io.StringIO(reply.body)))


@pytest_asyncio.fixture
async def salesforce() -> AsyncIterator[LocalSalesforce]:
    """A new org."""
    async with LocalSalesforce() as running:
        yield running


@pytest_asyncio.fixture
async def call(salesforce: LocalSalesforce) -> AsyncIterator[Caller]:
    """A client that is logged in."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_SECONDS)) as session:
        yield Caller(salesforce, session)
