"""Who has left, and what follows from it: from the state, whatever came first."""

from __future__ import annotations

from typing import Any

import pytest

from agents import churn, customers
from agents.events import Event, State, fold
from stream.records import Closing, Notice, Scalar, Write
from stream.settings import Churn, Settings
from tests.touched import event, touched

CAMPAIGN = "701Sb0000000001EAA"
SETTINGS = Settings(churn=Churn(campaign=CAMPAIGN))
PRICE = {"id": "price_1", "object": "price", "currency": "usd", "product": "prod_1", "nickname": "Team",
         "unit_amount": 1500, "billing_scheme": "per_unit",
         "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"}}  # fmt: skip


def subscription(id_: str = "sub_1", **fields: Any) -> dict[str, Any]:
    item = {
        "id": f"si_{id_}",
        "price": PRICE,
        "quantity": 2,
        "current_period_start": 1,
        "current_period_end": 9999,
    }
    return {"id": id_, "object": "subscription", "customer": "cus_1", "status": "active", "currency": "usd",
            "created": 100, "items": {"data": [item]}} | fields  # fmt: skip


def began(id_: str = "sub_1", at: int = 100, **fields: Any) -> Event:
    return event("customer.subscription.created", subscription(id_, created=at, **fields), created=at)


def ended(id_: str = "sub_1", at: int = 86_400, why: dict[str, Any] | None = None, **fields: Any) -> Event:
    gone = {"status": "canceled", "ended_at": at, "canceled_at": at, "cancellation_details": why, **fields}
    return event("customer.subscription.deleted", subscription(id_, **gone), created=at)


def state(*events: Event) -> State:
    known = fold(State(), event("customer.created", {"id": "cus_1", "name": "Ada"}, created=50))
    for one in events:
        known = fold(known, one)
    return known


def account(*events: Event) -> Write:
    return next(
        write
        for write in customers.project(touched(state(*events), settings=SETTINGS))
        if write.object == "Account"
    )


def told(*events: Event) -> list[Write | Notice]:
    return list(churn.project(touched(state(*events), events=events, settings=SETTINGS)))


FIELDS = ("Stripe_Customer_Status__c", "Stripe_Churned_On__c", "Stripe_Churn_Reason__c", "Stripe_Lost_MRR__c")


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        (None, "Cancelled, no reason given"),
        ({"reason": "cancellation_requested", "feedback": "unused", "comment": None}, "Not used enough"),
        (
            {"reason": "cancellation_requested", "feedback": "unused", "comment": "Bye."},
            "Not used enough: Bye.",
        ),
        ({"reason": "cancellation_requested", "comment": "Zu teuer."}, "Zu teuer."),
        ({"reason": "payment_failed", "feedback": None}, "Involuntary: payment failed"),
        ({"reason": "payment_disputed"}, "Involuntary: payment disputed"),
        ({"feedback": "of_the_future"}, "of_the_future"),
        ({"comment": "x" * 300}, "x" * 255),
    ],
)
def test_the_account_says_when_and_why_a_customer_left_and_what_was_lost(why: Any, reason: str) -> None:
    fields = account(began(), ended(why=why)).fields
    assert [fields[name] for name in FIELDS] == ["Churned", "1970-01-02", reason, 30.0]


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ((), None),
        ((began(),), "Active"),
        ((began(status="past_due"),), "Active"),
        ((began(status="trialing", trial_end=9_999_999),), "Trial"),
        ((began(status="paused"),), "Paused"),
        ((began(status="incomplete"),), None),
        ((began(), ended(), began("sub_2", 90_000)), "Active"),
        ((began(), ended(), began("sub_2", 90_000, status="trialing", trial_end=9_999_999)), "Trial"),
        ((began(), began("sub_2"), ended()), "Active"),
        ((began(status="trialing", trial_end=99_999_999), ended(trial_end=99_999_999)), None),
    ],
    ids=[
        "nothing",
        "active",
        "late",
        "trial",
        "paused",
        "unpaid yet",
        "back",
        "back on trial",
        "one of two",
        "in trial",
    ],
)
def test_who_has_not_left_is_not_churned(events: tuple[Event, ...], status: str | None) -> None:
    it = account(*events)
    assert [it.fields[name] for name in FIELDS] == [status, None, None, None]
    assert it.closing is None
    assert told(*events) == []


def test_order_does_not_matter() -> None:
    events = (began(), ended(), began("sub_2", 90_000), ended("sub_2", 99_000))
    assert account(*events).fields == account(*reversed(events)).fields


def test_the_contact_joins_the_campaign_once_and_the_owner_is_told_once() -> None:
    member, notice = told(began(), ended(why={"feedback": "unused"}))
    assert isinstance(member, Write)
    assert (member.key, member.fields) == (f"CampaignMember:cus_1:{CAMPAIGN}", {"CampaignId": CAMPAIGN})
    assert member.if_empty == ("CampaignId", "Contact")
    assert isinstance(notice, Notice)
    assert (notice.id, notice.workflow, notice.amount, notice.currency) == (
        "sub_1:churn",
        "churn",
        "360.00",
        "USD",
    )
    assert notice.facts["reason"] == "Not used enough"


def test_without_a_campaign_nobody_joins() -> None:
    events = (began(), ended())
    made = churn.project(touched(state(*events), events=events))
    assert [type(one) for one in made] == [Notice]


def test_what_people_had_open_is_to_be_closed_with_the_reason() -> None:
    closing = account(began(), ended(why={"feedback": "unused"})).closing
    types = tuple(Churn().close_types)
    fields: dict[str, Scalar] = {"StageName": "Closed Lost", "Stripe_Loss_Reason__c": "Not used enough"}
    assert closing == Closing(types, 86_400, fields)


def test_a_company_that_wants_nothing_closed_says_so() -> None:
    settings = Settings(churn=Churn(close_types=[]))
    assert churn.closing(touched(state(began(), ended()), settings=settings)) is None
