"""Fields that a person may own, and Opportunities to be closed: what is asked, and what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from stream.records import Closing, Reference, Write
from stream.salesforce import closing, present
from stream.salesforce.rows import Row, row
from stream.settings import CUSTOMER_ID_FIELD as ID
from tests.fakes.salesforce import FakeSalesforce
from tests.fakes.writes import account

CLOSING = Closing(("Upgrade",), 1_800_000_000, {"StageName": "Closed Lost"})


def rows(*writes: Write) -> list[Row]:
    return [row(write, 0, offset) for offset, write in enumerate(writes)]


def owned(customer: str, **fields: Any) -> Write:
    names = tuple(name for name in fields if name != "Name")
    return Write("Account", ID, customer, customer, 1, {"Name": "Ada", **fields}, (), if_empty=names)


async def test_only_what_is_empty_is_set() -> None:
    fake = FakeSalesforce()
    fake.seed("Account", **{ID: "cus_1"}, Name="Ada", Phone="+1", BillingCity=None)
    (one, other) = rows(owned("cus_1", Phone="+2", BillingCity="London"), owned("cus_2", Phone="+2"))
    held = await present.look_up(fake, [one, other], 1)
    for each in (one, other):
        present.spare(each, held)
    assert one.write.fields == {"Name": "Ada", "BillingCity": "London"}
    assert other.write.fields == {"Name": "Ada", "Phone": "+2"}, "it is not there yet"
    assert fake.calls["query"] == 1


async def test_a_parent_that_is_set_stays() -> None:
    fake = FakeSalesforce()
    fake.seed("Contact", **{ID: "cus_1"}, LastName="Ada", AccountId="001x")
    write = Write("Contact", ID, "cus_1", "cus_1", 1, {"LastName": "Ada"}, (),
                  parents={"Account": Reference("Account", ID, "cus_9")}, if_empty=("Account",))  # fmt: skip
    (one,) = rows(write)
    present.spare(one, await present.look_up(fake, [one], 1))
    assert one.write.parents == {}


async def closed(**opportunity: Any) -> bool:
    fake = FakeSalesforce()
    parent = fake.seed("Account", **{ID: "cus_1"}, Name="Ada")
    told = {"AccountId": parent, "StageName": "Open", "IsClosed": False, "Type": "Upgrade"}
    id_ = fake.seed("Opportunity", **{**told, "CreatedDate": "2026-01-01T00:00:00.000+0000", **opportunity})
    (one,) = rows(Write("Account", ID, "cus_1", "cus_1", 1, {"Name": "Ada"}, (), closing=CLOSING))
    answers = await closing.close(fake, [one], 1)
    assert all(it.answer.error is None for it in answers)
    return bool(fake.records["Opportunity"][id_]["StageName"] == "Closed Lost")


@pytest.mark.parametrize(
    ("opportunity", "meant"),
    [
        ({}, True),
        ({"Type": "New"}, False),
        ({"Type": None}, False),
        ({"IsClosed": True}, False),
        ({"CreatedDate": "2027-12-01T00:00:00.000+0000"}, False),
        ({"Stripe_Id__c": "sub_1"}, False),
    ],
    ids=["open", "another type", "no type", "closed", "opened later", "ours"],
)
async def test_open_opportunities_of_the_types_are_closed(opportunity: dict[str, Any], meant: bool) -> None:
    assert await closed(**opportunity) is meant


async def test_other_accounts_are_left_alone() -> None:
    fake = FakeSalesforce()
    (one,) = rows(account("cus_2"))
    assert await closing.close(fake, [one], 1) == []


def test_what_is_to_be_closed_is_part_of_what_was_confirmed() -> None:
    plain = account("cus_1")
    (one, other) = rows(plain, Write(**{name: getattr(plain, name) for name in plain.__struct_fields__}
                                     | {"closing": CLOSING}))  # fmt: skip
    assert one.digest != other.digest
