"""What every Salesforce must do for the writer. The fake and the real client both pass it.

A module that runs the suite subclasses `SalesforcePort` and gives the fixture `port`; `seed` makes a record that
was there before us.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Any

import msgspec
import pytest

from stream.records import Closing, Match, Write
from stream.salesforce import bulk, closing
from stream.salesforce.errors import Kind, RequestError
from stream.salesforce.matching import queries
from stream.salesforce.port import Job, RowAnswer, Salesforce
from stream.salesforce.rows import row
from stream.settings import CUSTOMER_ID_FIELD as ID
from tests.fakes.writes import account, contact


class SalesforcePort:
    """The suite."""

    @abstractmethod
    async def seed(self, port: Any, object_: str, **fields: Any) -> str:
        """Makes a record, and gives its ID."""

    async def upsert(self, port: Salesforce, *writes: Write) -> list[RowAnswer]:
        return await port.upsert(writes[0].object, ID, writes)

    async def found(self, port: Salesforce, object_: str, fields: str, customer: str) -> dict[str, Any]:
        query = f"SELECT {fields} FROM {object_} WHERE {ID} IN ('{customer}')"  # noqa: S608
        ((record,),) = await port.query([query])
        return record

    async def test_upsert_creates_then_updates_and_answers_in_order(self, port: Salesforce) -> None:
        (first,) = await self.upsert(port, account("cus_2"))
        both = await self.upsert(port, account("cus_1"), account("cus_2", Name="Ada"))
        assert [(answer.created, answer.error) for answer in both] == [(True, None), (False, None)]
        assert both[1].id == first.id
        assert (await self.found(port, "Account", "Id, Name", "cus_2"))["Name"] == "Ada"

    async def test_external_ids_are_case_sensitive(self, port: Salesforce) -> None:
        lower, upper = await self.upsert(port, account("cus_a"), account("cus_A"))
        assert lower.created
        assert upper.created
        assert lower.id != upper.id

    async def test_none_clears_a_field(self, port: Salesforce) -> None:
        await self.upsert(port, account("cus_1", Phone="1"))
        await self.upsert(port, account("cus_1", Phone=None))
        assert (await self.found(port, "Account", "Id, Phone", "cus_1"))["Phone"] is None

    async def test_parents_are_named_by_external_id(self, port: Salesforce) -> None:
        (parent,) = await self.upsert(port, account("cus_1"))
        (child,) = await self.upsert(port, contact("cus_1"))
        assert child.created
        assert (await self.found(port, "Contact", "Id, AccountId", "cus_1"))["AccountId"] == parent.id

    async def test_a_missing_parent_is_a_matter_of_order(self, port: Salesforce) -> None:
        (answer,) = await self.upsert(port, contact("cus_1"))
        assert answer.kind is Kind.ORDERING

    async def test_one_refused_row_does_not_hold_back_the_others(self, port: Salesforce) -> None:
        nameless = account("cus_1", Name=None)
        refused, created = await self.upsert(port, nameless, account("cus_2"))
        assert refused.kind is Kind.PERMANENT
        assert refused.error is not None
        assert (refused.error.code, refused.error.fields) == ("REQUIRED_FIELD_MISSING", ("Name",))
        assert created.created

    async def test_a_record_twice_in_one_call_is_to_be_split(self, port: Salesforce) -> None:
        answers = await self.upsert(port, account("cus_1"), account("cus_2"), account("cus_1"))
        assert [answer.kind for answer in answers] == [Kind.SPLIT, None, Kind.SPLIT]

    async def test_an_unknown_field_is_a_matter_of_configuration(self, port: Salesforce) -> None:
        (answer,) = await self.upsert(port, account("cus_1", No_Such_Field__c=1))
        assert answer.kind is Kind.CONFIGURATION

    async def test_stamp_sets_the_external_id_and_nothing_else(self, port: Salesforce) -> None:
        before = await self.seed(port, "Account", Name="Ada's Engines", Website="https://ada.example")
        (answer,) = await port.stamp("Account", ID, {before: "cus_1"})
        assert (answer.id, answer.error) == (before, None)
        record = await self.found(port, "Account", "Id, Name, Website", "cus_1")
        assert (record["Id"], record["Name"]) == (before, "Ada's Engines")
        (again,) = await self.upsert(port, account("cus_1"))
        assert (again.id, again.created) == (before, False)

    async def test_a_stamp_that_another_record_has_is_refused(self, port: Salesforce) -> None:
        await self.upsert(port, account("cus_1"))
        other = await self.seed(port, "Account", Name="Other")
        (answer,) = await port.stamp("Account", ID, {other: "cus_1"})
        assert answer.kind is Kind.ROW
        assert answer.error is not None
        assert answer.error.code == "DUPLICATE_VALUE"

    async def test_records_are_changed_by_id_and_one_refusal_holds_back_no_other(
        self, port: Salesforce
    ) -> None:
        one = await self.seed(port, "Account", Name="One", Website="one.example", **{ID: "cus_1"})
        gone, done = await port.update("Account", {"001000000000000AAA": {"Name": "X"}, one: {"Name": "Two"}})
        assert gone.error is not None
        assert (done.id, done.error) == (one, None)
        record = await self.found(port, "Account", "Name, Website", "cus_1")
        assert (record["Name"], record["Website"]) == ("Two", "one.example")

    async def test_the_closing_queries_are_understood(self, port: Salesforce) -> None:
        parent = await self.seed(port, "Account", Name="One", **{ID: "cus_1"})
        stage = {
            "StageName": "Qualification",
            "CloseDate": "2026-12-31",
            "Name": "Deal",
            "Type": "New Customer",
        }
        deal = await self.seed(port, "Opportunity", AccountId=parent, **stage)
        ours = await self.seed(port, "Opportunity", AccountId=parent, Stripe_Id__c="sub_1", **stage)
        wanted = Closing(("New Customer",), 4_000_000_000, {"StageName": "Closed Lost"})
        leaving = msgspec.structs.replace(account("cus_1"), closing=wanted)
        done = await closing.close(port, [row(leaving, 0, 0)], 1)
        assert [(it.id, it.account, it.answer.error) for it in done] == [(deal, "cus_1", None)]
        query = f"SELECT Id, StageName FROM Opportunity WHERE Account.{ID} IN ('cus_1')"  # noqa: S608
        (records,) = await port.query([query])
        assert {it["Id"]: it["StageName"] for it in records} == {deal: "Closed Lost", ours: "Qualification"}

    async def test_the_matching_queries_are_understood(self, port: Salesforce) -> None:
        name = "O'Neil \\ Söhne"
        company = await self.seed(port, "Account", Name=name, Website="oneil.example")
        person = await self.seed(port, "Contact", LastName="Ada", Email="ada@x.example", AccountId=company)
        match = {"email": "ADA@x.example", "company": name.lower(), "domain": "oneil.example"}
        asked = queries([_matched(account("cus_1"), match), _matched(contact("cus_1"), match)])
        linked_account, linked_contact, people, companies = await port.query([query.soql for query in asked])
        assert (linked_account, linked_contact) == ([], [])
        assert [row["Id"] for row in people] == [person]
        assert people[0]["Account"][ID] is None
        assert [(row["Id"], row["Website"]) for row in companies] == [(company, "oneil.example")]

    async def test_a_query_that_is_refused_raises(self, port: Salesforce) -> None:
        with pytest.raises(RequestError) as refused:
            await port.query(["SELECT No_Such_Field__c FROM Account WHERE Name IN ('a')"])
        assert refused.value.kind is Kind.CONFIGURATION

    async def test_a_bulk_job(self, port: Salesforce) -> None:
        await self.upsert(port, account("cus_0"))
        writes = [account(f"cus_{n}", Phone=None, Name=f'"{n}",\n') for n in range(20)] + [
            account("cus_x", Name="")
        ]
        job = await port.create_job("Account", ID)
        assert (await self.state(port, job)).state == "Open"
        await port.upload(job, bulk.data(writes))
        await port.start_job(job)
        ended = await self.ended(port, job)
        assert (ended.state, ended.failed) == ("JobComplete", 1)
        succeeded = bulk.read(await port.results(job, "successfulResults"))
        failed = bulk.read(await port.results(job, "failedResults"))
        for compare in (False, True):
            answers = bulk.answers(writes, succeeded, failed, ID, compare=compare)
            assert [answer.created for answer in answers if answer and not answer.error] == [
                False,
                *[True] * 19,
            ]
            assert answers[-1] is not None
            assert answers[-1].error is not None
            assert (answers[-1].error.code, answers[-1].error.fields) == ("REQUIRED_FIELD_MISSING", ("Name",))
        changed = bulk.answers([account("cus_1", Name="changed")], succeeded, failed, ID, compare=True)
        assert changed == [None]
        assert (await self.found(port, "Account", "Id, Name", "cus_7"))["Name"].startswith('"7",')

    async def test_bulk_rows_name_their_parents(self, port: Salesforce) -> None:
        (parent,) = await self.upsert(port, account("cus_1"))
        job = await port.create_job("Contact", ID)
        await port.upload(job, bulk.data([contact("cus_1"), contact("cus_2")]))
        await port.start_job(job)
        await self.ended(port, job)
        assert (await self.found(port, "Contact", "Id, AccountId", "cus_1"))["AccountId"] == parent.id
        failed = bulk.read(await port.results(job, "failedResults"))
        (answer,) = bulk.answers([contact("cus_2")], [], failed, ID)
        assert answer is not None
        assert answer.kind is Kind.ORDERING

    async def test_an_open_job_can_be_aborted_and_an_unknown_one_is_none(self, port: Salesforce) -> None:
        job = await port.create_job("Account", ID)
        await port.abort_job(job)
        assert (await self.state(port, job)).state == "Aborted"
        assert await port.job("750000000000000AAA") is None

    async def test_describe(self, port: Salesforce) -> None:
        described = await port.describe("Account")
        assert described is not None
        field = next(field for field in described.fields if field.name == ID)
        assert (field.external_id, field.unique, field.case_sensitive, field.updateable) == (True,) * 4
        assert await port.describe("No_Such_Object__c") is None

    async def test_the_budget_is_told(self, port: Salesforce) -> None:
        await self.upsert(port, account("cus_1"))
        assert port.usage is not None
        before = port.usage
        usage = await port.limits()
        assert usage is not None
        assert (usage.limit, before.limit) == (100_000, 100_000)
        assert before.used <= usage.used <= before.used + 1

    async def state(self, port: Salesforce, job: str) -> Job:
        known = await port.job(job)
        assert known is not None
        return known

    async def ended(self, port: Salesforce, job: str) -> Job:
        async with asyncio.timeout(20):
            while (known := await self.state(port, job)).state not in bulk.ENDED:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return known


def _matched(write: Write, match: dict[str, str]) -> Write:
    return msgspec.structs.replace(write, match=Match(**match))
