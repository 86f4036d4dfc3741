"""The writer as a process, on real Kafka, against the local Salesforce."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from stream.kafka.batches import BatchProducer, Record
from stream.kafka.broker import Broker
from stream.kafka.offsets import Offsets
from stream.listen import free_address
from stream.records import Match, Result, Write, decode_result, encode
from stream.salesforce.bulk import read_metadata
from stream.sandbox.salesforce import Fault, LocalSalesforce, Options
from stream.settings import CUSTOMER_ID_FIELD as ID
from stream.settings import Kafka
from stream.topics import DEAD_LETTERS, SALESFORCE_RESULTS, SALESFORCE_WRITES, WRITER_GROUP
from tests.fakes.writes import account, contact
from tests.integration.conftest import PARTITIONS
from tests.integration.org import seeded

DEADLINE = 120.0


class Line:
    """A Kafka with writes going in and results coming out."""

    def __init__(self, brokers: str) -> None:
        self.brokers = brokers
        self.results: list[Result] = []
        self._producer = BatchProducer({"bootstrap_servers": brokers})
        self._consumer: Any = AIOKafkaConsumer(bootstrap_servers=brokers, auto_offset_reset="earliest")

    async def __aenter__(self) -> Line:
        await self._producer.start()
        await self._consumer.start()
        self._consumer.assign([TopicPartition(SALESFORCE_RESULTS, n) for n in range(PARTITIONS)])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()
        await self._producer.stop()

    async def put(self, *writes: Write) -> None:
        """Sends writes to the partition of their customer."""
        await self._producer.send(
            Record(SALESFORCE_WRITES, place(write.account), write.key.encode(), encode(write))
            for write in writes
        )

    async def until(self, count: int) -> list[Result]:
        """The results once there are so many; fails when they do not come."""
        try:
            async with asyncio.timeout(DEADLINE):
                while len(self.results) < count:
                    for batch in (await self._consumer.getmany(timeout_ms=200)).values():
                        assert all(record.key is not None for record in batch)
                        self.results += [decode_result(record.value) for record in batch]
        except TimeoutError:
            pytest.fail(f"{len(self.results)} of {count} results: {counts(self.results)}")
        return self.results

    async def letters(self, count: int) -> list[Any]:
        """The dead letters."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.brokers, auto_offset_reset="earliest")
        await consumer.start()
        consumer.assign([TopicPartition(DEAD_LETTERS, n) for n in range(PARTITIONS)])
        found: list[Any] = []
        async with asyncio.timeout(DEADLINE):
            while len(found) < count:
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found += batch
        await consumer.stop()
        return found

    async def committed(self) -> dict[int, tuple[int, str]]:
        """Offset and metadata by partition."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.brokers)
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(WRITER_GROUP)
        finally:
            await admin.close()
        return {
            tp.partition: (held.offset, held.metadata)
            for tp, held in offsets.items()
            if tp.topic == SALESFORCE_WRITES
        }


def place(customer: str) -> int:
    return sum(customer.encode()) % PARTITIONS


def counts(results: list[Result]) -> Counter[tuple[str, str]]:
    return Counter((result.object, result.outcome) for result in results)


@pytest_asyncio.fixture
async def line(topics: str) -> AsyncIterator[Line]:
    async with Line(topics) as line:
        yield line


class Stage:
    """The writer as its own process, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""
        self._heard = asyncio.Condition()
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.said += line.decode()
            async with self._heard:
                self._heard.notify_all()

    async def says(self, text: str) -> None:
        """Waits until it has said something."""
        async with asyncio.timeout(DEADLINE), self._heard:
            await self._heard.wait_for(lambda: text in self.said)

    async def end(self, sign: signal.Signals | None = None) -> int:
        """Its exit code, after a signal if it has not ended by itself."""
        if sign is not None and self.process.returncode is None:
            self.process.send_signal(sign)
        code = await asyncio.wait_for(self.process.wait(), DEADLINE)
        await self._listening
        return code


@asynccontextmanager
async def writer(line: Line, sandbox: LocalSalesforce, **environment: str) -> AsyncIterator[Stage]:
    """A writer that is ended by SIGTERM, and cleanly, if the test has not ended it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "stream.salesforce",
        stderr=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "KAFKA_BROKERS": line.brokers,
            "KAFKA_SESSION_TIMEOUT_SECONDS": "6",
            "SALESFORCE_LOGIN_URL": sandbox.url,
            "SALESFORCE_CLIENT_ID": "sandbox",
            "SALESFORCE_CLIENT_SECRET": "sandbox",
            "SALESFORCE_TIMEOUT_SECONDS": "10",
            "WRITER_METRICS_LISTEN": "127.0.0.1:0",
            **environment,
        },
    )
    stage = Stage(process)
    try:
        yield stage
    finally:
        ended = process.returncode is not None
        code = await stage.end(signal.SIGTERM)
        print(stage.said)
    assert ended or code == 0


async def until(reached: Callable[[], Awaitable[bool] | bool]) -> None:
    """Waits for a condition."""
    async with asyncio.timeout(DEADLINE):
        while True:
            answer = reached()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.02)


def records(sandbox: LocalSalesforce, object_: str) -> dict[str, dict[str, Any]]:
    return {str(row[ID]): row for row in sandbox.org.store.rows(object_) if row.get(ID)}


def calls(sandbox: LocalSalesforce) -> Counter[str]:
    made: Counter[str] = Counter()
    for (operation, _), count in sandbox.org.calls.items():
        made[operation] += count
    return made


def customers(count: int) -> list[Write]:
    return [write for n in range(count) for write in (account(f"cus_{n}"), contact(f"cus_{n}"))]


async def test_customers_are_created_and_told_of_and_committed(line: Line, sandbox: LocalSalesforce) -> None:
    await line.put(*customers(300))
    listen = free_address()
    async with writer(line, sandbox, WRITER_METRICS_LISTEN=listen), aiohttp.ClientSession() as http:
        results = await line.until(600)
        async with http.get(f"http://{listen}/readyz") as ready:
            assert ready.status == 200
        async with http.get(f"http://{listen}/metrics") as answer:
            exported = await answer.text()
    assert (
        'revstream_salesforce_rows_total{object="Contact",outcome="created",phase="live"} 300.0' in exported
    )
    assert "revstream_end_to_end_duration_seconds_count 600.0" in exported
    assert 'revstream_salesforce_requests_total{code="200",operation="collections_upsert"}' in exported
    assert "revstream_salesforce_api_limit 100000.0" in exported
    assert counts(results) == {("Account", "created"): 300, ("Contact", "created"): 300}
    held = records(sandbox, "Account")
    assert all(r.salesforce_id == held[r.external_id]["Id"] for r in results if r.object == "Account")
    contacts = records(sandbox, "Contact")
    assert all(row["AccountId"] == held[customer]["Id"] for customer, row in contacts.items())
    ends = Counter(place(write.account) for write in customers(300))
    assert await line.committed() == {partition: (end, "") for partition, end in ends.items()}


async def test_a_backlog_goes_by_bulk_in_few_calls(line: Line, sandbox: LocalSalesforce) -> None:
    strangers = [
        stranger(
            f"cus_N{n:013d}", f"someone{n}@company{n}.example", f"Company {n} Ltd", f"company{n}.example"
        )
        for n in range(3000)
    ]
    await line.put(*(write for pair in strangers for write in pair))
    # Long enough for a busy machine to read all of it into one window.
    async with writer(line, sandbox, WRITER_LINGER_SECONDS="3"):
        results = await line.until(6000)
    assert counts(results) == {("Account", "created"): 3000, ("Contact", "created"): 3000}
    assert len(records(sandbox, "Contact")) == 3000
    assert {metadata for _, metadata in (await line.committed()).values()} == {""}
    made = calls(sandbox)
    print(made)
    # The aim is ten calls per 1,000 events, and fewer as the backlog grows: 3,000 customers, matching included.
    # Besides, a job is asked whether it is done, the oftener the longer it takes: eight times in a minute for both.
    made.pop("bulk-status")
    assert sum(made.values()) <= 25


async def test_a_token_that_expires_costs_one_login_and_no_row(line: Line, sandbox: LocalSalesforce) -> None:
    async with writer(line, sandbox):
        await line.put(account("cus_1"))
        await line.until(1)
        sandbox.org.faults.arm(Fault(do="expire-tokens"))
        await line.put(account("cus_2"))
        results = await line.until(2)
    assert counts(results) == {("Account", "created"): 2}


async def test_one_that_gives_a_call_up_does_not_say_goodbye(line: Line, sandbox: LocalSalesforce) -> None:
    """Salesforce may still be working on it: who gets the partitions next is to come when Kafka has missed us."""
    sandbox.org.faults.arm(Fault(do="delay", operation="collections-upsert", seconds=600))
    async with writer(line, sandbox, SALESFORCE_TIMEOUT_SECONDS="600") as stage:
        await line.put(account("cus_1"))
        await until(lambda: not sandbox.org.faults.waiting())
        assert await stage.end(signal.SIGTERM) == 0
        async with Offsets(Kafka(brokers=[line.brokers])) as offsets:
            members = (await offsets.group(WRITER_GROUP)).members
    assert [member.client for member in members] == ["revstream"]
    assert (await line.committed()).keys() <= {place("cus_1")}


async def test_the_quota_used_up_holds_everything_until_there_is_budget(
    line: Line, sandbox: LocalSalesforce
) -> None:
    async with writer(line, sandbox):
        await line.put(account("cus_1"))
        await line.until(1)
        sandbox.org.calls_used.set(100_000)
        await line.put(account("cus_2"))
        await until(lambda: refused(sandbox) >= 2)
        assert len(line.results) == 1
        sandbox.org.calls_used.set(10)
        results = await line.until(2)
    assert counts(results) == {("Account", "created"): 2}


def refused(sandbox: LocalSalesforce) -> int:
    return sum(count for (_, status), count in sandbox.org.calls.items() if status == 403)


async def test_salesforce_down_then_up(line: Line, tmp_path: Path) -> None:
    sandbox = LocalSalesforce(state=tmp_path)
    await sandbox.start()
    port = int(sandbox.url.rpartition(":")[2])
    async with writer(line, sandbox) as stage:
        await line.put(account("cus_1"))
        await line.until(1)
        await sandbox.stop()
        await line.put(*(account(f"cus_{n}") for n in range(2, 50)))
        await stage.says("Salesforce is away; all writes wait")
        sandbox = LocalSalesforce(port=port, state=tmp_path)
        await sandbox.start()
        results = await line.until(49)
        assert len(records(sandbox, "Account")) == 49
    await sandbox.stop()
    assert counts(results) == {("Account", "created"): 49}


async def test_a_missing_field_stops_its_lane_while_others_flow(line: Line, sandbox: LocalSalesforce) -> None:
    sandbox.org.change_schema({"Contact": {"fields": {"Stripe_Currency__c": None}}})
    await line.put(*customers(5))
    async with writer(line, sandbox) as stage:
        results = await line.until(5)
        assert counts(results) == {("Account", "created"): 5}
        await stage.says("Contact.Stripe_Currency__c does not exist")
    sandbox.org.change_schema(
        {"Contact": {"fields": {"Stripe_Currency__c": {"type": "string", "length": 3}}}}
    )
    async with writer(line, sandbox):
        results = await line.until(10)
    assert counts(results)["Contact", "created"] == 5
    assert counts(results)["Contact", "dead-lettered"] == 0


async def test_a_locked_row_goes_again_and_an_invalid_one_is_set_aside(
    line: Line, sandbox: LocalSalesforce
) -> None:
    sandbox.org.faults.arm(
        Fault(
            do="refuse-rows",
            external_ids=("cus_1",),
            times=2,
            code="UNABLE_TO_LOCK_ROW",
            message="unable to obtain exclusive access to this record",
        )
    )
    sandbox.org.faults.arm(
        Fault(
            do="refuse-rows",
            external_ids=("cus_2",),
            object="Account",
            code="FIELD_CUSTOM_VALIDATION_EXCEPTION",
            message="A VAT number is needed.",
            fields=("Vat__c",),
        )
    )
    writes = [account("cus_1"), account("cus_2"), account("cus_3")]
    await line.put(*writes)
    async with writer(line, sandbox):
        results = await line.until(3)
        (letter,) = await line.letters(1)
    assert counts(results) == {("Account", "created"): 2, ("Account", "dead-lettered"): 1}
    assert letter.value == encode(writes[1])
    assert letter.partition == place("cus_2")
    headers = dict(letter.headers)
    assert headers["revstream.errors.code"] == b"FIELD_CUSTOM_VALIDATION_EXCEPTION"
    assert headers["revstream.errors.fields"] == b"Vat__c"
    assert headers["revstream.errors.topic"] == b"salesforce.writes"


def stranger(customer: str, email: str, company: str, domain: str | None) -> tuple[Write, Write]:
    return (
        account(customer, match=Match(email, company, domain), Name=company),
        contact(customer, match=Match(email), Email=email),
    )


async def test_existing_records_are_adopted_and_never_guessed(line: Line, sandbox: LocalSalesforce) -> None:
    by_email = await seeded(sandbox, "Account", Name="Whatever")
    person = await seeded(
        sandbox, "Contact", LastName="Ada", Email="ada@engines.example", AccountId=by_email, Title="CEO"
    )
    by_company = await seeded(sandbox, "Account", Name="Looms", Website="https://www.looms.example/")
    twins = [await seeded(sandbox, "Account", Name="Twins", Website="twins.example") for _ in range(2)]
    await line.put(
        *stranger("cus_1", "ada@engines.example", "Engines", "engines.example"),
        *stranger("cus_2", "joe@looms.example", "LOOMS", "looms.example"),
        *stranger("cus_3", "tom@twins.example", "Twins", "twins.example"),
    )
    async with writer(line, sandbox):
        results = {result.key: result for result in await line.until(6)}
    assert results["Account:cus_1"].salesforce_id == by_email
    assert results["Account:cus_1"].matched_by == "email"
    assert results["Contact:cus_1"].salesforce_id == person
    assert records(sandbox, "Contact")["cus_1"]["Title"] == "CEO"
    assert results["Account:cus_2"].salesforce_id == by_company
    assert results["Account:cus_2"].matched_by == "company"
    assert results["Contact:cus_2"].outcome == "created"
    errors = {key: result.error for key, result in results.items() if result.error}
    assert errors["Account:cus_3"].code == "ambiguous_match"
    assert all(twin in errors["Account:cus_3"].message for twin in twins)
    assert errors["Contact:cus_3"].code == "parent_missing"
    assert set(records(sandbox, "Account")) == {"cus_1", "cus_2"}


async def test_kill_9_in_the_middle_of_a_bulk_job(line: Line, tmp_path: Path) -> None:
    options = Options(bulk_delay_seconds=2.0)
    async with LocalSalesforce(options=options) as sandbox:
        await line.put(*(account(f"cus_{n}") for n in range(2500)))
        async with writer(line, sandbox) as stage:
            await until(lambda: any(job.info.state == "UploadComplete" for job in sandbox.api.jobs.all()))
            await stage.end(signal.SIGKILL)
        assert line.results == []
        kept = {job.id for _, text in (await line.committed()).values() for job in read_metadata(text)}
        (job,) = sandbox.api.jobs.all()
        assert kept == {job.info.identifier}
        async with writer(line, sandbox):
            results = await line.until(2500)
        assert len(sandbox.api.jobs.all()) == 1
        assert counts(results) == {("Account", "created"): 2500}
        assert len(records(sandbox, "Account")) == 2500
        ends = Counter(place(f"cus_{n}") for n in range(2500))
        assert await line.committed() == {partition: (end, "") for partition, end in ends.items()}
        assert sandbox.org.rows[("Account", "updated")] == 0


async def test_two_writers_share_the_partitions_and_write_each_record_once(
    line: Line, sandbox: LocalSalesforce
) -> None:
    # A writer that is thought dead is no rebalance to be tested: the machine may be busy for a while.
    patient = {"KAFKA_SESSION_TIMEOUT_SECONDS": "15"}
    async with writer(line, sandbox, **patient) as first:
        await line.put(*(account(f"cus_{n}") for n in range(100)))
        await line.until(100)
        async with writer(line, sandbox, **patient) as second:
            await second.says("Partitions:")
            for n in range(2, 30):  # through the rebalances
                await line.put(*(account(f"cus_{m}", n, Name=f"Name {n}") for m in range(100)))
                if n == 15:
                    assert await first.end(signal.SIGTERM) == 0
            ends = Counter(place(f"cus_{m}") for m in range(100) for _ in range(29))

            async def caught_up() -> bool:
                offsets = {partition: offset for partition, (offset, _) in (await line.committed()).items()}
                return offsets == dict(ends)

            await until(caught_up)
    assert all(row["Name"] == "Name 29" for row in records(sandbox, "Account").values())
    assert sandbox.org.rows[("Account", "created")] == 100
    told = await line.until(2900)
    assert {(r.external_id, r.version) for r in told} == {
        (f"cus_{m}", n) for m in range(100) for n in range(1, 30)
    }
    assert {r.outcome for r in told} <= {"created", "updated", "unchanged", "superseded"}
    assert "Partitions: none" not in second.said


async def test_kafka_killed_and_started_again(line: Line, broker: Broker, sandbox: LocalSalesforce) -> None:
    async with writer(line, sandbox):
        await line.put(*(account(f"cus_{n}") for n in range(20)))
        await line.until(20)
        await line.put(*(account(f"cus_{n}") for n in range(20, 400)))
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        await until(lambda: broker.pid is None)
        broker.launch()
        await asyncio.to_thread(broker.await_answer)
        await until_all(line, 400)
    assert set(records(sandbox, "Account")) == {f"cus_{n}" for n in range(400)}


async def until_all(line: Line, count: int) -> None:
    """Until every one of so many customers has a result: some may have two, after a crash."""
    while len({result.external_id for result in line.results}) < count:
        await line.until(len(line.results) + 1)


async def test_a_wrong_setting_ends_at_once_with_one_line(line: Line, sandbox: LocalSalesforce) -> None:
    async with writer(line, sandbox, SALESFORCE_LOGIN_URL="http://login.example") as stage:
        assert await stage.end() == 2
    assert stage.said.strip().count("\n") == 0
    assert "SALESFORCE_LOGIN_URL: must begin with https://" in stage.said
