"""What happened, told by one event: a row for each kind of movement, in three API versions."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agents.events import State, read, reference
from agents.movements import Movement, movement
from agents.pricing import Mrr
from agents.worth import worth
from stream.sandbox.stripe.book import Request, StripeEvent
from stream.sandbox.stripe.objects import Coupon, Discount, Item, Pause, Price, Subscription
from stream.stripe import shapes
from tables.customer_mapping import CustomerMapping
from tests.lives import records
from tests.touched import touched

replace = msgspec.structs.replace

VERSIONS = ("2020-08-27", "2024-09-30.acacia", "2026-09-30.endive")
AT, MONTH, DAY = 1_790_000_000, 30 * 86_400, 86_400

TEAM = Price(id="price_1Team000000000000000000", created=1, product="prod_1", currency="usd",
             unit_amount="1500", interval="month", nickname="Team")  # fmt: skip
SCALE = replace(TEAM, id="price_1Scale00000000000000000", unit_amount="4900", nickname="Scale")
YEARLY = replace(TEAM, id="price_1Yearly0000000000000000", unit_amount="15000", interval="year")
SAME = replace(TEAM, id="price_1Same000000000000000000", nickname="Crew")
ITEM = Item("si_1", 1, TEAM, 2, AT - 10 * DAY, AT + 20 * DAY)
HALF = Coupon(id="HALF", created=1, name="Half", duration="forever", percent_off=50.0)
OFF = Discount(
    id="di_1Half0000000000000000000", created=AT, coupon=HALF, customer="cus_1", subscription="sub_1"
)
SUB = Subscription(id="sub_1", created=AT - 10 * DAY, customer="cus_1", status="active", currency="usd",
                   items=(ITEM,), billing_cycle_anchor=AT, latest_invoice="in_1")  # fmt: skip
TRIAL = replace(SUB, status="trialing", trial_start=AT - 10 * DAY, trial_end=AT)
NEXT = replace(ITEM, period_start=ITEM.period_end, period_end=ITEM.period_end + MONTH)


def with_item(it: Subscription = SUB, **changes: Any) -> Subscription:
    return replace(it, items=(replace(it.items[0], **changes),))


UPDATES: dict[str, tuple[Subscription, Subscription, str, str]] = {
    "trial converted": (TRIAL, replace(TRIAL, status="active"), "trial_converted", "new"),
    "paid at last": (replace(SUB, status="incomplete"), SUB, "new", "new"),
    "never paid": (replace(SUB, status="incomplete"), replace(SUB, status="incomplete_expired"), "expired", "none"),
    "dearer price": (SUB, with_item(price=SCALE), "upgrade", "expansion"),
    "cheaper price": (with_item(price=SCALE), SUB, "downgrade", "contraction"),
    "dearer in trial": (TRIAL, with_item(TRIAL, price=SCALE), "upgrade", "none"),
    "one more item": (SUB, replace(SUB, items=(ITEM, replace(ITEM, id="si_2"))), "upgrade", "expansion"),
    "more seats": (SUB, with_item(quantity=5), "seats", "expansion"),
    "fewer seats": (SUB, with_item(quantity=1), "seats", "contraction"),
    "a plan of the same price": (SUB, with_item(price=SAME), "plan", "none"),
    "monthly to annual": (SUB, with_item(price=YEARLY, period_start=AT, period_end=AT + 365 * DAY), "interval",
                          "contraction"),
    "collection paused": (SUB, replace(SUB, pause=Pause("void")), "paused", "none"),
    "collection resumed": (replace(SUB, pause=Pause("void")), SUB, "resumed", "none"),
    "paused": (SUB, replace(SUB, status="paused", paused_at=AT), "paused", "churn"),
    "resumed": (replace(SUB, status="paused", paused_at=AT), SUB, "resumed", "reactivation"),
    "to be cancelled": (SUB, replace(SUB, cancel_at_period_end=True, cancel_at=SUB.period_end),
                        "cancellation_scheduled", "churn"),
    "not to be cancelled": (replace(SUB, cancel_at_period_end=True, cancel_at=SUB.period_end), SUB,
                            "cancellation_withdrawn", "reactivation"),
    "payment due": (SUB, replace(SUB, status="past_due"), "details", "none"),
    "given up": (replace(SUB, status="past_due"), replace(SUB, status="unpaid"), "unpaid", "churn"),
    "recovered": (replace(SUB, status="unpaid"), SUB, "recovered", "reactivation"),
    "renewed": (SUB, replace(SUB, items=(NEXT,), latest_invoice="in_2"), "renewed", "none"),
    "a coupon": (SUB, replace(SUB, discounts=(OFF,)), "coupon", "contraction"),
    "no coupon any more": (replace(SUB, discounts=(OFF,)), SUB, "coupon", "expansion"),
    "billed in between": (SUB, replace(SUB, latest_invoice="in_2"), "proration", "none"),
    "a note": (SUB, replace(SUB, metadata={"note": "x"}), "details", "none"),
    "another card": (SUB, replace(SUB, default_payment_method="pm_1New0000000000000000000"), "details", "none"),
}  # fmt: skip


class Catalogue:
    """The coupon, which no webhook tells in full."""

    def coupon(self, id_: str) -> Any:
        return shapes.Coupon(id_, duration="forever", percent_off="50")

    def discount(self, id_: str) -> Any:
        return shapes.Discount(id_, coupon="HALF")

    def price(self, id_: str) -> Any: ...

    def product(self, price: str) -> Any: ...


def value(it: shapes.Subscription, at: int) -> Mrr:
    return worth(touched(State(CustomerMapping()), lookup=Catalogue()), it, at)


def moved(
    type_: str,
    after: Subscription,
    before: Subscription | None = None,
    version: str = VERSIONS[0],
    id_: str = "evt_1",
) -> Movement | None:
    (record,) = records([StripeEvent(id_, type_, AT, version, after, before, Request())])
    return movement(read(reference(dict(record.headers)), record), value)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", UPDATES)
def test_an_update_tells_what_happened(name: str, version: str) -> None:
    before, after, kind, change = UPDATES[name]
    told = moved("customer.subscription.updated", after, before, version)
    assert told is not None
    assert (told.kind, told.change, bool(told.renewed)) == (kind, change, name == "renewed")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("after", "kind", "change"),
    [
        (SUB, "new", "new"),
        (TRIAL, "trial_started", "none"),
        (replace(SUB, status="incomplete"), "new", "none"),
    ],
)
def test_a_beginning_is_new_or_a_trial(after: Subscription, kind: str, change: str, version: str) -> None:
    told = moved("customer.subscription.created", after, version=version)
    assert told is not None
    assert (told.kind, told.change, told.before) == (kind, change, None)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("was", "change"),
    [
        (SUB, "churn"),
        (replace(TRIAL, trial_end=AT + DAY), "none"),
        (replace(SUB, cancel_at_period_end=True, cancel_at=SUB.period_end), "none"),
    ],
    ids=["at once", "in trial", "as scheduled"],
)
def test_an_end_is_a_cancellation(was: Subscription, change: str, version: str) -> None:
    ended = replace(was, status="canceled", canceled_at=AT, ended_at=AT)
    told = moved("customer.subscription.deleted", ended, version=version)
    assert told is not None
    assert (told.kind, told.change) == ("cancelled", change)


@pytest.mark.parametrize("type_", ["trial_will_end", "paused", "resumed", "pending_update_applied"])
def test_what_an_update_tells_as_well_is_not_counted_again(type_: str) -> None:
    assert moved(f"customer.subscription.{type_}", SUB) is None


def test_one_change_told_by_two_events_is_one_movement() -> None:
    names = {
        told.id
        for id_ in ("evt_1", "evt_2")
        if (told := moved("customer.subscription.updated", with_item(quantity=5), SUB, id_=id_))
    }
    assert len(names) == 1


def test_changes_of_one_second_are_movements_of_their_own() -> None:
    steps = [(SUB, with_item(quantity=5)), (with_item(quantity=5), with_item(quantity=3))]
    names = {
        told.id for before, after in steps if (told := moved("customer.subscription.updated", after, before))
    }
    assert len(names) == 2


def test_the_same_change_has_one_name_in_every_version() -> None:
    names = {
        told.id
        for version in VERSIONS
        if (told := moved("customer.subscription.updated", with_item(quantity=5), SUB, version))
    }
    assert len(names) == 1


ENDIVE = VERSIONS[-1]
ADDED = replace(ITEM, id="si_2", price=YEARLY, period_start=AT - 5 * DAY, period_end=AT + 360 * DAY)


def test_with_mixed_intervals_each_renews_by_itself() -> None:
    """A yearly item beside a monthly one is not renewed every month, and is when its own year ends."""
    mixed = replace(SUB, items=(ITEM, ADDED))
    monthly = moved("customer.subscription.updated", replace(SUB, items=(NEXT, ADDED)), mixed, ENDIVE)
    assert monthly is not None
    assert [item.id for item in monthly.renewed] == ["si_1"]
    ends = replace(ADDED, period_end=AT)
    again = replace(ADDED, period_start=AT, period_end=AT + 365 * DAY)
    before, after = replace(SUB, items=(ITEM, ends)), replace(SUB, items=(ITEM, again))
    yearly = moved("customer.subscription.updated", after, before, ENDIVE)
    assert yearly is not None
    assert [item.id for item in yearly.renewed] == ["si_2"]


@pytest.mark.parametrize("late", [0, 90])
def test_an_items_trial_that_ends_is_an_expansion(late: int) -> None:
    """Also when Stripe tells it a little later: what it was worth is what it was worth in the trial."""
    trial = replace(ADDED, trial_start=AT - 5 * DAY, trial_end=AT - late)
    before = replace(SUB, items=(ITEM, trial))
    after = replace(SUB, items=(ITEM, ADDED))
    told = moved("customer.subscription.updated", after, before, ENDIVE)
    assert told is not None
    assert told.change == "expansion"
    unrelated = moved("customer.subscription.updated", replace(before, metadata={"a": "b"}), before, ENDIVE)
    assert unrelated is not None
    assert unrelated.change == "none"
