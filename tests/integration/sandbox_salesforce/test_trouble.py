"""Limits, locks, and faults on demand over HTTP."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from stream.sandbox.salesforce import Fault
from tests.integration.sandbox_salesforce.conftest import KEY, Caller

QUERY = {"q": "SELECT Id FROM Account"}


async def test_the_days_calls_run_out(call: Caller) -> None:
    await call.options(daily_limit=2)
    assert (await call("GET", "/limits")).headers["Sforce-Limit-Info"] == "api-usage=1/2"
    await call("GET", "/query", params=QUERY)
    reply = await call("GET", "/query", params=QUERY)
    assert (reply.status, reply.code) == (403, "REQUEST_LIMIT_EXCEEDED")
    assert reply.headers["Sforce-Limit-Info"] == "api-usage=2/2"
    assert (await call.admin("POST", "/faults", json={"do": "use-quota", "used": 1})).status == 200
    reply = await call("GET", "/limits")
    assert reply.body["DailyApiRequests"] == {"Max": 2, "Remaining": 0}


async def test_tokens_end_after_calls(call: Caller) -> None:
    await call.options(token_calls=1)
    assert (await call("GET", "/limits")).status == 200
    assert (await call("GET", "/limits")).code == "INVALID_SESSION_ID"
    await call.options(token_calls=0)
    call.token = call.salesforce.api.tokens.issue()
    call.arm(Fault("expire-tokens", skip=1))
    assert [(await call("GET", "/limits")).status for _ in range(3)] == [200, 401, 401]


async def test_an_answer_on_demand(call: Caller) -> None:
    fault = {"do": "answer", "operation": "query", "status": 503, "code": "SERVER_UNAVAILABLE", "times": 2}
    armed = await call.admin("POST", "/faults", json=[fault])
    assert armed.body[0]["times"] == 2
    assert (await call("GET", "/limits")).status == 200
    replies = [await call("GET", "/query", params=QUERY) for _ in range(3)]
    assert [reply.status for reply in replies] == [503, 503, 200]
    assert replies[0].code == "SERVER_UNAVAILABLE"
    bad = await call.admin("POST", "/faults", json={"do": "answer", "sttus": 503})
    assert (bad.status, "sttus" in bad.body["error"]) == (400, True)


@pytest.mark.parametrize(("kind", "applied"), [("drop", False), ("drop-after", True)])
async def test_a_connection_is_cut(call: Caller, kind: Any, applied: bool) -> None:
    call.arm(Fault(kind, object="Account", method="PATCH"))
    with pytest.raises(aiohttp.ClientConnectionError):
        await call.upsert("Account", {KEY: "cus_1", "Name": "a"})
    assert bool(await call.select("SELECT Id FROM Account")) is applied
    assert (await call.upsert("Account", {KEY: "cus_1", "Name": "a"})).body[0]["created"] is not applied
    state = (await call.admin("GET", "/state")).body
    assert state["calls"]["collections-upsert"] == {"0": 1, "200": 1}


async def test_down_for_a_while(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    call.arm(Fault("drop", times=None, for_seconds=600))
    url = f"{call.salesforce.url}/services/oauth2/token"
    with pytest.raises(aiohttp.ClientConnectionError):
        await call.session.post(url, data={})
    for _ in range(3):
        with pytest.raises(aiohttp.ClientConnectionError):
            await call("GET", "/limits")
    monkeypatch.setattr(call.org.faults, "_clock", lambda: time.monotonic() + 600)
    assert (await call("GET", "/limits")).status == 200


async def test_rows_are_refused_on_demand(call: Caller) -> None:
    fault = {
        "do": "refuse-rows",
        "object": "Account",
        "external_ids": ["cus_2"],
        "code": "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        "message": "Not on a Tuesday",
        "fields": ["Name"],
    }
    await call.admin("POST", "/faults", json=fault)
    rows = [{KEY: f"cus_{n}", "Name": "a"} for n in (1, 2, 3)]
    reply = await call.upsert("Account", *rows)
    assert reply.codes == [None, "FIELD_CUSTOM_VALIDATION_EXCEPTION", None]
    assert (await call.upsert("Account", *rows)).codes == [None, None, None]


async def test_a_locked_account_is_waited_for_and_then_refused(call: Caller) -> None:
    await call.upsert("Account", {KEY: "cus_1", "Name": "a"}, {KEY: "cus_2", "Name": "b"})
    await call.options(latency_seconds=60, lock_wait_seconds=0)
    first = asyncio.create_task(call.upsert("Account", {KEY: "cus_1", "Name": "c"}))
    account = call.org.store.find("Account", KEY, "cus_1")
    while not call.org.locks.held(account):  # noqa: ASYNC110  it is in flight once it holds the lock
        await asyncio.sleep(0.001)
    await call.options(latency_seconds=0)
    children = [{KEY: key, "LastName": "x", "Account": {KEY: key}} for key in ("cus_1", "cus_2")]
    assert (await call.upsert("Contact", *children)).codes == ["UNABLE_TO_LOCK_ROW", None]
    single = await call("PATCH", f"/sobjects/Account/{KEY}/cus_1", json={"Name": "d"})
    assert (single.status, single.code) == (400, "UNABLE_TO_LOCK_ROW")

    await call.options(lock_wait_seconds=30)
    waiting = asyncio.create_task(call.upsert("Contact", *children))
    assert not (await asyncio.wait([waiting], timeout=0.2))[0]
    call.org.locks.free(account)  # as the end of the first call would
    assert (await waiting).codes == [None, None]
    first.cancel()


async def test_a_job_waits_for_locks_too(call: Caller) -> None:
    await call.upsert("Account", {KEY: "cus_1", "Name": "a"})
    call.org.locks.take(call.org.store.find("Account", KEY, "cus_1"))
    await call.options(lock_wait_seconds=0.01)
    job = await call.job(f"{KEY},Name\ncus_1,b\ncus_2,c\n")
    told = await call.until(job, "JobComplete")
    assert (told["numberRecordsProcessed"], told["numberRecordsFailed"]) == (2, 1)
    (bad,) = await call.results(job, "failedResults")
    assert bad["sf__Error"].startswith("UNABLE_TO_LOCK_ROW:")


async def test_a_job_that_is_aborted_while_it_waits_writes_nothing(call: Caller) -> None:
    await call.upsert("Account", {KEY: "cus_1", "Name": "a"})
    account = call.org.store.find("Account", KEY, "cus_1")
    call.org.locks.take(account)
    await call.options(lock_wait_seconds=30)
    job = await call.job(f"{KEY},Name\ncus_1,b\ncus_2,c\n")
    await call.until(job, "InProgress")
    assert (await call("PATCH", job, json={"state": "Aborted"})).body["state"] == "Aborted"
    call.org.locks.free(account)
    told = await call.until(job, "Aborted")
    assert told["numberRecordsProcessed"] == 0
    assert len(await call.results(job, "unprocessedRecords")) == 2
    assert await call.select("SELECT Name FROM Account") == [{"Name": "a"}]


async def test_seeding_is_free_and_whole(call: Caller) -> None:
    seed = {
        "Account": [{"Name": "Acme", "Website": "acme.example", KEY: "cus_1"}, {"Name": "Bolt"}],
        "Contact": [{"LastName": "Lee", "Email": "lee@acme.example", "Account": {KEY: "cus_1"}}],
    }
    made = await call.admin("POST", "/seed", json=seed)
    assert [len(made.body[name]) for name in seed] == [2, 1]
    assert (await call("GET", "/limits")).headers["Sforce-Limit-Info"] == "api-usage=1/100000"
    records = (await call.admin("GET", "/records/Contact")).body
    assert [(row["Email"], row["AccountId"]) for row in records] == [
        ("lee@acme.example", made.body["Account"][0])
    ]
    bad = await call.admin("POST", "/seed", json={"Account": [{"Name": "x"}, {}]})
    assert bad.status == 400
    assert "Account number 1: REQUIRED_FIELD_MISSING" in bad.body["error"]
    state = (await call.admin("GET", "/state")).body
    assert (state["records"]["Account"], state["records"]["Contact"]) == (2, 1)
    assert state["rows"] == {"Account": {"created": 2}, "Contact": {"created": 1}}
    assert (await call.admin("GET", "/records/Nothing")).status == 404


async def test_a_reset_makes_a_new_org(call: Caller) -> None:
    await call.create("Account", Name="a")
    await call.until(await call.job(f"{KEY},Name\ncus_1,b\n"), "JobComplete")
    await call.admin("PATCH", "/schema", json={"Account": {"fields": {"X__c": {}}}})
    call.arm(Fault("drop", operation="never"))
    assert (await call.admin("POST", "/reset")).status == 200
    state = (await call.admin("GET", "/state")).body
    assert state["records"]["Account"] == 0
    assert (state["api_usage"]["used"], state["jobs"], state["faults"], state["calls"]) == (0, {}, 0, {})
    assert "X__c" not in (await call.admin("GET", "/schema")).body["Account"]["fields"]
    await call.create("Account", Name="a")
