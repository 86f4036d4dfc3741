"""Bulk API 2.0 over HTTP."""

from __future__ import annotations

import json

import aiohttp
import pytest

from stream.sandbox.salesforce import Fault
from tests.integration.sandbox_salesforce.conftest import KEY, Caller

HEADER = f"{KEY},Name,Phone\n"


def sheet(numbers: range) -> str:
    return HEADER + "".join(f"cus_{n},n{n},{n}\n" for n in numbers)


async def test_rows_go_through_or_are_told(call: Caller) -> None:
    kept = await call.create("Account", Name="old", Phone="1", Fax="2", **{KEY: "cus_1"})
    data = (
        f"{KEY},Name,Phone,Fax,Stripe_Deleted__c\n"
        'cus_1,"new, ""quoted""\nname",#N/A,,true\n'
        "cus_2,,,,\n"
        "cus_3,three,,,maybe\n"
        "cus_4,four,,,\n"
        "cus_5,five,,,\n"
        "cus_5,five,,,\n"
        ",six,,,\n"
    )
    job = await call.job(data)
    told = await call.until(job, "JobComplete")
    assert (told["numberRecordsProcessed"], told["numberRecordsFailed"]) == (7, 5)
    good = {row[KEY]: row for row in await call.results(job, "successfulResults")}
    assert {key: row["sf__Created"] for key, row in good.items()} == {"cus_1": "false", "cus_4": "true"}
    assert good["cus_1"]["sf__Id"] == kept
    assert good["cus_1"]["Name"] == 'new, "quoted"\nname'
    bad = [(row[KEY], row["sf__Error"]) for row in await call.results(job, "failedResults")]
    assert sorted(bad) == [
        ("", f"MISSING_ARGUMENT:{KEY} not specified: --"),
        ("cus_2", "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --"),
        (
            "cus_3",
            "INVALID_TYPE_ON_FIELD_IN_RECORD:Stripe Deleted: value not of required type: maybe:"
            "Stripe_Deleted__c --",
        ),
        ("cus_5", f"DUPLICATE_VALUE:Duplicate external id specified: cus_5:{KEY} --"),
        ("cus_5", f"DUPLICATE_VALUE:Duplicate external id specified: cus_5:{KEY} --"),
    ]
    assert await call.results(job, "unprocessedRecords") == []
    (row,) = await call.select(
        "SELECT Name, Phone, Fax, Stripe_Deleted__c FROM Account WHERE Stripe_Customer_Id__c = 'cus_1'"
    )
    assert row == {"Name": 'new, "quoted"\nname', "Phone": None, "Fax": "2", "Stripe_Deleted__c": True}


async def test_results_come_in_another_order(call: Caller) -> None:
    job = await call.job(sheet(range(300)))
    await call.until(job, "JobComplete")
    found = [row[KEY] for row in await call.results(job, "SuccessfulResults")]
    sent = [f"cus_{n}" for n in range(300)]
    assert found != sent
    assert sorted(found) == sorted(sent)


async def test_parents_by_external_id(call: Caller) -> None:
    account = await call.create("Account", Name="Acme", **{KEY: "cus_1"})
    data = f"{KEY},LastName,Account.{KEY}\ncus_1,Lee,cus_1\ncus_2,Ray,cus_0\n"
    job = await call.job(data, object="Contact")
    await call.until(job, "JobComplete")
    (bad,) = await call.results(job, "failedResults")
    assert bad["sf__Error"] == (
        f"INVALID_FIELD:Foreign key external ID: cus_0 not found for field {KEY} in entity Account: --"
    )
    assert await call.select("SELECT AccountId FROM Contact") == [{"AccountId": account}]
    data = f"Stripe_Id__c,Subject,Account:What.{KEY}\nevt_1,Call,cus_1\n"
    job = await call.job(data, object="Task", externalIdFieldName="Stripe_Id__c")
    await call.until(job, "JobComplete")
    assert await call.select("SELECT WhatId, AccountId FROM Task") == [
        {"WhatId": account, "AccountId": account}
    ]


@pytest.mark.parametrize(
    ("operation", "data", "names"),
    [
        ("insert", "Name\nnew\n", {"old", "new"}),
        ("update", "Id,Name\n{id},changed\n", {"changed"}),
        ("delete", "Id\n{id}\n", set()),
        ("hardDelete", "Id\n{id}\n", set()),
    ],
)
async def test_other_operations(call: Caller, operation: str, data: str, names: set[str]) -> None:
    identifier = await call.create("Account", Name="old")
    job = await call.job(data.replace("{id}", identifier), operation=operation)
    told = await call.until(job, "JobComplete")
    assert told["numberRecordsFailed"] == 0
    assert {row["Name"] for row in await call.select("SELECT Name FROM Account")} == names


async def test_another_delimiter_and_line_ending(call: Caller) -> None:
    data = f"{KEY};Name\r\ncus_1;a,b\r\n"
    job = await call.job(data, columnDelimiter="SEMICOLON", lineEnding="CRLF")
    await call.until(job, "JobComplete")
    reply = await call("GET", f"{job}/successfulResults")
    (row,) = await call.select("SELECT Id, Name FROM Account")
    assert row["Name"] == "a,b"
    assert reply.body == f"sf__Id;sf__Created;{KEY};Name\r\n{row['Id']};true;cus_1;a,b\r\n"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (f"{KEY},Name,Nope__c\ncus_1,a,b\n", "InvalidBatch : Field name not found : Nope__c"),
        ("Name\na\n", f"InvalidBatch : Field name not found : {KEY}"),
        (f"{KEY},Name\ncus_1\n", "InvalidBatch : row 1 has 1 columns, the header row has 2"),
        (
            f"{KEY},Name\r\ncus_1,a\r\n",
            "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is LF",
        ),
    ],
)
async def test_a_job_that_cannot_be_done_fails_whole(call: Caller, data: str, told: str) -> None:
    job = await call.job(data)
    info = await call.until(job, "Failed")
    assert (info["errorMessage"], info["numberRecordsProcessed"]) == (told, 0)
    assert "cus_1" in (await call("GET", f"{job}/unprocessedrecords/")).body or KEY not in data
    assert await call.select("SELECT Id FROM Account") == []


async def test_a_job_fails_half_way_on_demand(call: Caller) -> None:
    call.arm(Fault("fail-job", object="Account", rows=250, code="InternalServerError", message="on demand"))
    job = await call.job(sheet(range(500)))
    told = await call.until(job, "Failed")
    assert (told["numberRecordsProcessed"], told["errorMessage"]) == (250, "InternalServerError : on demand")
    done = {row[KEY] for row in await call.results(job, "successfulResults")}
    left = {row[KEY] for row in await call.results(job, "unprocessedRecords")}
    assert (len(done), len(left), done & left) == (250, 250, set())


async def test_an_aborted_job_leaves_its_rows(call: Caller) -> None:
    await call.options(bulk_delay_seconds=60)
    job = await call.job(sheet(range(3)))
    early = await call("GET", f"{job}/failedResults")
    assert (early.status, early.code) == (400, "INVALIDJOBSTATE")
    assert (await call("PATCH", job, json={"state": "Aborted"})).body["state"] == "Aborted"
    assert len(await call.results(job, "unprocessedRecords")) == 3
    assert (await call("PATCH", job, json={"state": "UploadComplete"})).code == "INVALIDJOBSTATE"
    assert (await call("DELETE", job)).status == 204
    assert (await call("GET", job)).status == 404


async def test_jobs_are_listed_and_take_data_once(call: Caller) -> None:
    job = await call.job(sheet(range(1)), close=False)
    again = await call("PUT", f"{job}/batches", data=b"x", headers={"Content-Type": "text/csv"})
    assert (again.status, again.code) == (400, "INVALIDJOBSTATE")
    assert (await call("DELETE", job)).code == "INVALIDJOBSTATE"
    (told,) = (await call("GET", "/jobs/ingest")).body["records"]
    assert told["id"] == job.rpartition("/")[2]
    assert told["contentUrl"] == f"services/data/v65.0{job}/batches"


async def test_data_may_come_with_the_job(call: Caller) -> None:
    form = aiohttp.FormData()
    told = {"object": "Account", "operation": "upsert", "externalIdFieldName": KEY, "contentType": "CSV"}
    form.add_field("job", json.dumps(told), content_type="application/json")
    form.add_field("content", sheet(range(3)), content_type="text/csv", filename="content")
    opened = await call("POST", "/jobs/ingest", data=form)
    assert (opened.status, opened.body["state"]) == (200, "UploadComplete")
    info = await call.until(f"/jobs/ingest/{opened.body['id']}", "JobComplete")
    assert info["numberRecordsProcessed"] == 3


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ({"object": "Nothing"}, "INVALIDENTITY"),
        ({"operation": "merge"}, "INVALIDJOB"),
        ({"externalIdFieldName": "Phone"}, "INVALIDJOB"),
        ({"externalIdFieldName": None}, "INVALIDJOB"),
        ({"contentType": "XML"}, "INVALIDJOB"),
        ({"columnDelimiter": "DOT"}, "INVALIDJOB"),
    ],
)
async def test_what_is_no_job(call: Caller, told: dict[str, str], code: str) -> None:
    body = {"object": "Account", "operation": "upsert", "externalIdFieldName": KEY}
    reply = await call("POST", "/jobs/ingest", json=body | told)
    assert (reply.status, reply.code) == (400, code)


async def test_the_days_batches_run_out(call: Caller) -> None:
    await call.options(daily_bulk_batches=1)
    await call.until(await call.job(sheet(range(2))), "JobComplete")
    job = await call.job(sheet(range(2)), close=False)
    reply = await call("PATCH", job, json={"state": "UploadComplete"})
    assert (reply.status, reply.code) == (403, "REQUEST_LIMIT_EXCEEDED")
    limits = (await call("GET", "/limits")).body
    assert limits["DailyBulkApiBatches"] == {"Max": 1, "Remaining": 0}
