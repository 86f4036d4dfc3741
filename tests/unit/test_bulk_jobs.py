"""Bulk jobs beside the windows, and over the end of the process that began them."""

from __future__ import annotations

import asyncio
from collections import Counter

import msgspec

from stream.records import Reference, Write
from stream.salesforce.bulk import Kept, metadata, read_metadata
from stream.salesforce.errors import Kind, RequestError
from stream.settings import CUSTOMER_ID_FIELD, STRIPE_ID_FIELD
from tests.fakes.desk import Desk, MemoryLog, at_work, settings
from tests.fakes.salesforce import FakeSalesforce, no_answer
from tests.fakes.writes import account, contact

BULK = settings(writer={"bulk_from_rows": 20})


def counts(log: MemoryLog) -> Counter[tuple[str, str]]:
    return Counter((result.object, result.outcome) for result in log.results)


async def until_job(fake: FakeSalesforce, *states: str) -> str:
    async with asyncio.timeout(60):
        while True:
            for id_, job in fake.jobs.items():
                if job["state"] in states:
                    return id_
            await asyncio.sleep(0)


async def test_a_backlog_goes_by_one_job_per_object_parents_first() -> None:
    fake = FakeSalesforce(seed=5)
    async with at_work(fake, config=BULK) as desk:
        for n in range(100):
            desk.put(account(f"cus_{n}"), contact(f"cus_{n}"), partition=n % 4)
        await desk.done()
    assert counts(desk.log) == {("Account", "created"): 100, ("Contact", "created"): 100}
    assert [job["object"] for job in fake.jobs.values()] == ["Account", "Contact"]
    assert fake.calls["upsert"] == 0
    assert {metadata for _, metadata in desk.log.committed.values()} == {""}
    ids = fake.by_external_id("Account")
    assert all(r.salesforce_id == ids[r.external_id]["Id"] for r in desk.log.results if r.object == "Account")


async def test_a_parent_that_may_be_of_several_types_goes_by_a_job_too() -> None:
    fake = FakeSalesforce()
    parents = {"What": Reference("Account", CUSTOMER_ID_FIELD, "cus_1")}
    event = account("cus_1").events[0]
    tasks = [
        Write("Task", STRIPE_ID_FIELD, f"in_{n}", "cus_1", 1, {"Status": "Completed"}, (event,), parents)
        for n in range(20)
    ]
    async with at_work(fake, config=BULK) as desk:
        desk.put(account("cus_1"), *tasks)
        await desk.done()
    (customer,) = fake.records["Account"].values()
    assert [job["object"] for job in fake.jobs.values()] == ["Task"]
    assert {row["WhatId"] for row in fake.records["Task"].values()} == {customer["Id"]}


async def test_the_job_is_kept_before_salesforce_is_told_to_begin() -> None:
    fake = FakeSalesforce()
    kept: list[tuple[Kept, ...]] = []

    async with at_work(fake, config=BULK) as desk:

        async def look(operation: str) -> None:
            if operation in ("upload", "start_job"):
                kept.append(read_metadata(desk.log.committed[1][1]))

        fake.before = look
        desk.put(*(account(f"cus_{n}") for n in range(30)), partition=1)
        await desk.done()
    (job,) = fake.jobs
    assert kept == [(Kept(job, "Account", 30),)] * 2
    assert desk.log.committed[1] == (30, "")


async def test_other_customers_flow_while_a_job_runs() -> None:
    fake = FakeSalesforce()
    fake.polls_until_done = 1_000_000
    async with at_work(fake, config=BULK) as desk:
        desk.put(*(account(f"cus_{n}") for n in range(30)))
        await until_job(fake, "InProgress")
        desk.put(account("cus_x"), contact("cus_x"), contact("cus_1"), account("cus_2", 2), partition=1)
        await desk.results(2)
        assert counts(desk.log) == {("Account", "created"): 1, ("Contact", "created"): 1}
        fake.polls_until_done = 1
        await desk.done()
    assert counts(desk.log)["Account", "created"] == 31
    assert fake.overlaps == []


async def test_refused_rows_of_a_job_are_set_aside_and_locked_ones_go_again() -> None:
    fake = FakeSalesforce()
    fake.refuse("Account:cus_1", "STRING_TOO_LONG", "Account Name: data value too large: x", "Name")
    fake.refuse("Account:cus_2", "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")
    async with at_work(fake, config=BULK) as desk:
        desk.put(*(account(f"cus_{n}") for n in range(30)))
        await desk.done()
    assert counts(desk.log) == {("Account", "created"): 29, ("Account", "dead-lettered"): 1}
    headers = dict(desk.log.letters[0].headers)
    assert headers["revstream.errors.code"] == b"STRING_TOO_LONG"
    assert headers["revstream.errors.fields"] == b"Name"
    assert fake.sent == [("Account", ["cus_2"])]


async def test_a_job_that_cannot_be_made_or_filled_or_begun_is_sent_again() -> None:
    for operation in ("create_job", "upload", "start_job"):
        fake = FakeSalesforce()
        fake.fail(operation)
        async with at_work(fake, config=BULK) as desk:
            desk.put(*(account(f"cus_{n}") for n in range(30)))
            await desk.done()
        assert counts(desk.log) == {("Account", "created"): 30}, operation
        states = Counter(job["state"] for job in fake.jobs.values())
        assert states["Open"] == 0, operation


async def test_a_begin_without_an_answer_is_not_begun_twice() -> None:
    fake = FakeSalesforce()
    fake.fail("start_job", after=True)
    async with at_work(fake, config=BULK) as desk:
        desk.put(*(account(f"cus_{n}") for n in range(30)))
        await desk.done()
    assert counts(desk.log) == {("Account", "created"): 30}
    assert len(fake.jobs) == 1


async def test_a_job_is_awaited_though_salesforce_is_away_meanwhile() -> None:
    fake = FakeSalesforce()
    async with at_work(fake, config=BULK) as desk:
        fake.fail("job", times=5)
        fake.fail("results", times=3)
        desk.put(*(account(f"cus_{n}") for n in range(30)))
        await desk.done()
    assert counts(desk.log) == {("Account", "created"): 30}
    assert len(fake.jobs) == 1


async def test_a_job_that_fails_leaves_its_rows_to_smaller_calls() -> None:
    fake = FakeSalesforce()
    fake.polls_until_done = 1_000_000
    async with at_work(fake, config=BULK) as desk:
        desk.put(*(account(f"cus_{n}") for n in range(30)))
        job = await until_job(fake, "InProgress")
        fake.jobs[job]["message"] = "TooManyRetries : Tried more than 20 times"
        fake.polls_until_done = 1
        await desk.done()
    assert counts(desk.log) == {("Account", "created"): 30}
    assert [len(keys) for _, keys in fake.sent] == [30]


async def test_a_header_that_is_refused_is_an_administrators_matter() -> None:
    fake = FakeSalesforce()
    fake.polls_until_done = 1_000_000
    async with at_work(fake, config=BULK) as desk:
        desk.put(*(account(f"cus_{n}") for n in range(30)))
        job = await until_job(fake, "InProgress")
        fake.jobs[job]["message"] = "InvalidBatch : Field name not found : Phone"
        fake.drop_field("Account", "Phone")
        fake.polls_until_done = 1
        async with asyncio.timeout(60):
            while desk.dispatcher.trouble != {"Account": "configuration"}:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert not desk.log.told
        fake.fields["Account"].add("Phone")
        await desk.done()
    assert counts(desk.log) == {("Account", "created"): 30}


async def begun(fake: FakeSalesforce, log: MemoryLog, *states: str) -> str:
    """A writer that dies (no commit, no good-bye) while its job is in one of these states."""
    fake.polls_until_done = 1_000_000
    desk = Desk(fake, log, BULK)
    running = asyncio.create_task(desk.dispatcher.run())
    desk.own(0, 1)
    for n in range(30):
        desk.put(account(f"cus_{n}", Name=f"Customer {n}"), partition=n % 2)
    job = await until_job(fake, *states)
    while not log.committed.get(0, (0, ""))[1]:  # noqa: ASYNC110  the job is kept
        await asyncio.sleep(0)
    log.owner = False  # as after kill -9: nothing more reaches Kafka
    told, log.told = log.told, []
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await desk.dispatcher.close()
    assert told == []
    log.owner = True
    fake.polls_until_done = 1
    return job


async def test_a_job_that_had_begun_is_awaited_by_the_next_owner_and_not_sent_again() -> None:
    fake, log = FakeSalesforce(), MemoryLog()
    job = await begun(fake, log, "InProgress")
    async with at_work(fake, log, BULK) as desk:
        await desk.done()
    assert counts(log) == {("Account", "created"): 30}
    assert list(fake.jobs) == [job]
    assert fake.sent == []
    assert {metadata for _, metadata in log.committed.values()} == {""}


async def test_two_next_owners_share_the_job() -> None:
    fake, log = FakeSalesforce(), MemoryLog()
    job = await begun(fake, log, "InProgress")
    owners = [Desk(fake, log, BULK) for _ in range(2)]
    running = [asyncio.create_task(owner.dispatcher.run()) for owner in owners]
    for partition, owner in enumerate(owners):
        owner.own(partition)
    for owner in owners:
        await owner.done()
        owner.dispatcher.stop()
    await asyncio.gather(*running)
    for owner in owners:
        await owner.dispatcher.close()
    assert counts(log) == {("Account", "created"): 30}
    assert list(fake.jobs) == [job]
    assert fake.sent == []


async def test_a_job_that_had_not_begun_is_aborted_and_sent_again() -> None:
    fake, log = FakeSalesforce(), MemoryLog()

    async def hang(operation: str) -> None:
        if operation == "start_job":
            await asyncio.Event().wait()

    fake.before = hang
    job = await begun(fake, log, "Open")
    fake.before = None
    async with at_work(fake, log, BULK) as desk:
        await desk.done()
    assert counts(log) == {("Account", "created"): 30}
    assert fake.jobs[job]["state"] == "Aborted"
    assert len(fake.jobs) == 2


async def test_a_job_that_salesforce_has_forgotten_is_sent_again() -> None:
    fake, log = FakeSalesforce(), MemoryLog()
    job = await begun(fake, log, "InProgress")
    del fake.jobs[job]
    async with at_work(fake, log, BULK) as desk:
        await desk.done()
    assert counts(log) == {("Account", "created"): 30}


async def test_a_newer_write_than_the_jobs_is_sent_after_it() -> None:
    fake, log = FakeSalesforce(), MemoryLog()
    await begun(fake, log, "InProgress")
    log.put(account("cus_4", 2, Name="newer"), 0)
    log.put(contact("cus_6"), 0)
    async with at_work(fake, log, BULK) as desk:
        await desk.done()
    assert fake.by_external_id("Account")["cus_4"]["Name"] == "newer"
    assert sorted(fake.sent) == [("Account", ["cus_4"]), ("Contact", ["cus_6"])]
    assert counts(log)["Account", "created"] == 30
    assert counts(log)["Account", "updated"] == 1


async def test_what_the_job_wrote_counts_only_with_the_same_content() -> None:
    fake, log = FakeSalesforce(), MemoryLog()
    job = await begun(fake, log, "InProgress")
    fake.jobs[job]["data"] = fake.jobs[job]["data"].replace(b"Customer 8", b"Someone else")
    async with at_work(fake, log, BULK) as desk:
        await desk.done()
    assert fake.sent == [("Account", ["cus_8"])]
    assert fake.by_external_id("Account")["cus_8"]["Name"] == "Customer 8"


async def test_losing_the_partitions_before_the_job_is_kept_aborts_it() -> None:
    fake, log = FakeSalesforce(), MemoryLog()
    async with at_work(fake, log, BULK) as desk:
        log.owner = False
        desk.put(*(account(f"cus_{n}") for n in range(30)))
        job = await until_job(fake, "Aborted")
        await desk.dispatcher.give_up()
        log.owner = True
        desk.own(0, 1, 2, 3)
        await desk.done()
    assert fake.jobs[job]["state"] == "Aborted"
    assert counts(log) == {("Account", "created"): 30}


async def test_a_text_that_means_null_to_bulk_goes_by_another_call() -> None:
    fake = FakeSalesforce()
    async with at_work(fake, config=BULK) as desk:
        desk.put(*(account(f"cus_{n}") for n in range(30)), account("cus_na", Name="#N/A"))
        await desk.done()
    assert fake.by_external_id("Account")["cus_na"]["Name"] == "#N/A"
    assert fake.sent == [("Account", ["cus_na"])]


def test_metadata_is_small_and_read_back() -> None:
    jobs = [Kept("750000000000001AAA", "Opportunity", 2**62) for _ in range(10)]
    assert len(metadata(jobs)) < 4096
    assert read_metadata(metadata(jobs)) == tuple(jobs)
    assert metadata([]) == ""
    assert read_metadata("") == read_metadata(None) == read_metadata("somebody else's") == ()
    assert read_metadata(msgspec.json.encode([1]).decode()) == ()


async def test_the_quota_ends_in_the_middle_of_a_job() -> None:
    fake = FakeSalesforce()
    quota = RequestError(Kind.QUOTA, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", 403)
    async with at_work(fake, config=BULK) as desk:
        fake.fail("job", quota, times=1)
        fake.fail("results", no_answer(), times=1)
        desk.put(*(account(f"cus_{n}") for n in range(30)))
        await desk.done()
    assert len(fake.jobs) == 1
    assert counts(desk.log) == {("Account", "created"): 30}


async def test_a_begin_that_arrives_late_is_not_overtaken_by_a_second_job() -> None:
    fake = FakeSalesforce()
    fake.fail("start_job")
    fake.fail("abort_job", times=3)
    order: list[str] = []

    async def note(operation: str) -> None:
        order.append(operation)

    fake.before = note
    async with at_work(fake, config=BULK) as desk:
        desk.put(*(account(f"cus_{n}") for n in range(30)))
        await desk.done()
    # The first job is certain to do nothing before its rows go again.
    assert order.count("abort_job") == 4
    assert order.index("create_job", order.index("create_job") + 1) > max(
        n for n, operation in enumerate(order) if operation == "abort_job"
    )
    assert counts(desk.log) == {("Account", "created"): 30}


async def test_a_job_that_salesforce_fails_to_make_casts_no_suspicion_on_its_rows() -> None:
    fake = FakeSalesforce()
    fake.fail("create_job", RequestError(Kind.REQUEST, "UNKNOWN_EXCEPTION", "", 500))
    async with at_work(fake, config=BULK) as desk:
        desk.put(*(account(f"cus_{n}") for n in range(30)))
        await desk.done()
    assert fake.sent == []
    assert counts(desk.log) == {("Account", "created"): 30}
