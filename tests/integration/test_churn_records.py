"""A customer who leaves: Stripe's events through the writer's core and the real client into a local Salesforce."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agents import churn, customers
from agents.events import Event, State, fold
from stream.records import Write
from stream.salesforce.client import Client
from stream.sandbox.salesforce import LocalSalesforce, identifiers
from stream.settings import CUSTOMER_ID_FIELD, STRIPE_ID_FIELD
from tests.fakes.desk import at_work, settings
from tests.fakes.writes import account
from tests.integration.org import seeded
from tests.touched import event, touched
from tests.unit.test_churn import began, ended

MISSING = identifiers.make("701", 999)
UPGRADE = "Existing Customer - Upgrade"


async def deal(sandbox: LocalSalesforce, parent: str, **fields: Any) -> str:
    told = {"Name": "Deal", "Type": UPGRADE, "StageName": "Qualification", "CloseDate": "2026-12-31"}
    return await seeded(sandbox, "Opportunity", AccountId=parent, **told | fields)


def get(sandbox: LocalSalesforce, object_: str, id_: str) -> dict[str, Any]:
    return dict(sandbox.org.store.get(object_, id_) or {})


def held(sandbox: LocalSalesforce, object_: str, key: str, value: str) -> list[dict[str, Any]]:
    return [get(sandbox, object_, id_) for id_ in sandbox.org.store.find(object_, key, value)]


# Far enough ahead that whatever the test seeds was there before.
GONE = 4_000_000_000


def writes(*events: Event, campaign: str, email: str | None = "ada@example.com") -> list[Write]:
    """All that the workflows write of a customer after these events."""
    own = settings(churn={"campaign": campaign})
    state = fold(
        State(), event("customer.created", {"id": "cus_1", "name": "Ada", "email": email}, created=50)
    )
    for one in events:
        state = fold(state, one)
    told = touched(state, events=events, settings=own)
    made: Iterable[Any] = (*customers.project(told), *churn.project(told))
    return [one for one in made if isinstance(one, Write)]


async def test_a_customer_leaves_and_comes_back(sandbox: LocalSalesforce, port: Client) -> None:
    campaign = await seeded(sandbox, "Campaign", Name="Win-back")
    mine = await seeded(sandbox, "Account", Name="Ada", **{CUSTOMER_ID_FIELD: "cus_1"})
    other = await seeded(sandbox, "Account", Name="Eve", **{CUSTOMER_ID_FIELD: "cus_2"})
    meant = await deal(sandbox, mine)
    spared = [
        await deal(sandbox, mine, Type="New Customer"),
        await deal(sandbox, mine, StageName="Closed Won"),
        await deal(sandbox, mine, **{STRIPE_ID_FIELD: "sub_0"}),
        await deal(sandbox, other),
    ]
    before = [get(sandbox, "Opportunity", id_)["StageName"] for id_ in spared]
    gone = (began(), ended(at=GONE, why={"feedback": "unused"}))
    async with at_work(port) as desk:
        for _ in range(2):  # told again, as in a replay
            desk.put(*writes(*gone, campaign=campaign))
            await desk.done()
        (left,) = held(sandbox, "Account", CUSTOMER_ID_FIELD, "cus_1")
        assert (left["Stripe_Customer_Status__c"], left["Stripe_Lost_MRR__c"]) == ("Churned", 30.0)
        closed = get(sandbox, "Opportunity", meant)
        assert (closed["StageName"], closed["Stripe_Loss_Reason__c"]) == ("Closed Lost", "Not used enough")
        assert [get(sandbox, "Opportunity", id_)["StageName"] for id_ in spared] == before
        (member,) = held(sandbox, "CampaignMember", "CampaignId", campaign)
        (person,) = held(sandbox, "Contact", CUSTOMER_ID_FIELD, "cus_1")
        assert member["ContactId"] == person["Id"]
        again = await deal(sandbox, mine)
        desk.put(*writes(*gone, began("sub_2", GONE + 10), campaign=campaign))
        await desk.done()
    (back,) = held(sandbox, "Account", CUSTOMER_ID_FIELD, "cus_1")
    names = (
        "Stripe_Customer_Status__c",
        "Stripe_Churned_On__c",
        "Stripe_Churn_Reason__c",
        "Stripe_Lost_MRR__c",
    )
    assert [back.get(name) for name in names] == ["Active", None, None, None]
    assert get(sandbox, "Opportunity", again)["StageName"] == "Qualification"


async def test_a_campaign_that_does_not_exist_sets_only_the_member_aside(
    sandbox: LocalSalesforce, port: Client
) -> None:
    async with at_work(port) as desk:
        desk.put(*writes(began(), ended(at=GONE), campaign=MISSING), account("cus_2"))
        told = {result.key: result for result in await desk.done()}
    lost = told.pop(f"CampaignMember:cus_1:{MISSING}")
    assert lost.outcome == "dead-lettered"
    assert lost.error is not None
    assert lost.error.code == "INVALID_CROSS_REFERENCE_KEY"
    assert "CHURN_CAMPAIGN names nothing" in lost.error.message
    assert {result.outcome for result in told.values()} == {"created"}


async def test_who_has_no_email_is_won_back_all_the_same(sandbox: LocalSalesforce, port: Client) -> None:
    campaign = await seeded(sandbox, "Campaign", Name="Win-back")
    async with at_work(port) as desk:
        desk.put(*writes(began(), ended(at=GONE), campaign=campaign, email=None))
        assert {result.outcome for result in await desk.done()} == {"created"}
    assert len(held(sandbox, "CampaignMember", "CampaignId", campaign)) == 1
