"""The same seed lives the same lives, whole and in every version."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from stream.sandbox.stripe.identities import Mixture
from stream.sandbox.stripe.objects import Customer, Subscription
from stream.sandbox.stripe.world import VERSIONS, World

MOVEMENTS = frozenset(
    (
        "signed-up", "edited", "deleted", "new", "trial-started", "trial-converted", "upgrade", "downgrade",
        "seats", "interval", "coupon-added", "coupon-ended", "paused", "resumed", "cancellation-scheduled",
        "cancellation-withdrawn", "cancelled", "expired", "renewed", "reactivated", "payment-failed",
        "recovered", "unpaid", "written-off", "refunded", "disputed", "dispute-won", "dispute-lost",
        "item-added", "item-converted", "collection-changed", "billed", "overdue", "paid", "credited",
        "credit-voided",
        "warned", "authorised", "captured", "lapsed",
    )
)  # fmt: skip
TYPES = frozenset(
    (
        "customer.created", "customer.updated", "customer.deleted", "customer.discount.created",
        "customer.discount.deleted", "customer.subscription.created", "customer.subscription.updated",
        "customer.subscription.deleted", "customer.subscription.paused", "customer.subscription.resumed",
        "customer.subscription.trial_will_end", "invoice.created", "invoice.updated", "invoice.finalized",
        "invoice.paid", "invoice.payment_succeeded", "invoice.payment_failed", "invoice.voided",
        "payment_intent.requires_action", "invoice.payment_action_required",
        "invoice.marked_uncollectible", "invoice.upcoming", "invoice_payment.paid",
        "payment_intent.created", "payment_intent.succeeded", "payment_intent.payment_failed",
        "payment_intent.canceled", "payment_method.attached", "charge.succeeded", "charge.failed",
        "invoice.sent", "invoice.overdue", "credit_note.created", "credit_note.voided",
        "charge.captured", "charge.expired", "payment_intent.amount_capturable_updated",
        "radar.early_fraud_warning.created", "radar.early_fraud_warning.updated",
        "charge.updated", "charge.refunded", "refund.created", "charge.dispute.created",
        "charge.dispute.closed", "charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated",
        "product.created", "product.updated", "price.created", "price.updated", "coupon.created",
        "coupon.updated", "coupon.deleted",
    )
)  # fmt: skip
CONNECTED = Mixture(connected=0.3)


@pytest.fixture(scope="module")
def world() -> World:
    return World(11, 400, mixture=CONNECTED, days=150, events=120)


def test_the_same_seed_gives_the_same_run_byte_for_byte() -> None:
    one, two = World(3, 30, mixture=CONNECTED), World(3, 30, mixture=CONNECTED)
    assert msgspec.json.encode(one.events) == msgspec.json.encode(two.events)
    assert one.movements == two.movements
    assert one.things == two.things


def test_another_seed_gives_another_run() -> None:
    assert World(3, 5).events != World(4, 5).events


def test_the_first_customers_live_alike_however_many_follow() -> None:
    few, many = World(5, 8), World(5, 40)
    assert many.identities[:8] == few.identities
    keys = {who.key for who in few.identities}
    assert [move for move in many.movements if move.customer in keys] == list(few.movements)
    told = {event.id for event in few.events}
    assert [event for event in many.events if event.id in told] == list(few.events)
    assert few.things.items() <= many.things.items()


def test_everything_that_can_happen_happens(world: World) -> None:
    assert Counter(event.type for event in world.events).keys() == TYPES
    assert Counter(move.kind for move in world.movements).keys() == MOVEMENTS


def test_every_state_of_a_subscription_is_met(world: World) -> None:
    met = {event.thing.status for event in world.events if isinstance(event.thing, Subscription)}
    assert met == {
        *(
            "incomplete",
            "incomplete_expired",
            "trialing",
            "active",
            "past_due",
            "unpaid",
            "paused",
            "canceled",
        )
    }


def test_every_kind_of_price_is_subscribed_to(world: World) -> None:
    items = [
        item for thing in world.things.values() if isinstance(thing, Subscription) for item in thing.items
    ]
    assert {item.price.tiers_mode for item in items} == {None, "graduated", "volume"}
    assert {item.price.usage_type for item in items} == {"licensed", "metered"}
    assert {item.price.interval for item in items} == {"day", "week", "month", "year"}
    assert {item.price.currency for item in items} == {"usd", "eur", "gbp", "jpy", "kwd"}
    assert any(item.price.divide_by for item in items)


def test_the_endpoint_moves_through_all_versions(world: World) -> None:
    own = [event.version for event in world.events if event.account is None]
    assert list(dict.fromkeys(own)) == list(VERSIONS)
    assert {event.version for event in world.events if event.account} == {VERSIONS[1]}


def test_events_stand_in_order_and_in_the_given_time(world: World) -> None:
    times = [event.created for event in world.events]
    assert times == sorted(times)
    assert times[-1] < world.end
    assert world.events[0].type == "product.created"


def test_ids_are_unique(world: World) -> None:
    assert len({event.id for event in world.events}) == len(world.events)


def test_a_customer_of_two_accounts_is_two_customers(world: World) -> None:
    customers = [thing for thing in world.things.values() if isinstance(thing, Customer)]
    assert len(customers) == 400
    assert len({customer.id for customer in customers}) == 399


def test_events_are_bounded_per_customer() -> None:
    # One step more may begin just below the bound: the longest tells some thirty events.
    told = Counter(
        getattr(event.thing, "customer", None) or event.thing.id for event in World(2, 60, events=40).events
    )
    customers = {who.id for who in World(2, 60).identities}
    assert max(count for id_, count in told.items() if id_ in customers) < 75
