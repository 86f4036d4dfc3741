"""Coupons are redeemed, and lapse (docs.stripe.com/billing/subscriptions/coupons)."""

from __future__ import annotations

from stream.sandbox.stripe.life import Life, later
from stream.sandbox.stripe.objects import Discount, Invoice, Subscription

_UPDATED = "customer.subscription.updated"


def redeem(life: Life, subscription: Subscription) -> Subscription:
    """A coupon of the right currency, added to a subscription."""
    discount = _of(life, subscription.currency, subscription.id)
    life.book.add(discount, "customer.discount.created")
    return life.book.change(subscription, life.now, _UPDATED, discounts=(*subscription.discounts, discount))


def redeem_for_all(life: Life) -> None:
    """A coupon for the customer, whatever they subscribe to."""
    life.begin()
    life.book.called()
    discount = _of(life, life.customer.currency or life.identity.country.currency, None)
    life.book.add(discount, "customer.discount.created")
    life.book.change(life.customer, life.now, "customer.updated", discount=discount)
    life.moved("coupon-added")


def _of(life: Life, currency: str, subscription: str | None) -> Discount:
    coupons = [c for c in life.catalogue.coupons if c.currency in (None, currency) and c.created <= life.now]
    coupon = life.rng.choice(coupons)
    months = coupon.duration_in_months
    return Discount(
        id=life.book.new_id("di_1"),
        created=life.now,
        account=life.book.account,
        coupon=coupon,
        customer=life.customer.id,
        subscription=subscription,
        end=later(life.now, "month", months, life.now) if months else None,
    )


def add(life: Life, subscription: Subscription) -> None:
    """A coupon comes in the middle of the life of a subscription."""
    life.begin()
    life.book.called()
    redeem(life, subscription)
    life.moved("coupon-added", subscription.id)


def remove(life: Life, subscription: Subscription) -> None:
    """All coupons of a subscription are taken away."""
    life.begin()
    life.book.called()
    _drop(life, subscription, subscription.discounts)
    life.moved("coupon-ended", subscription.id)


def lapse(life: Life, subscription: Subscription) -> None:
    """Drops what has come to its end, before a renewal is billed: by time, or as it was for one invoice only."""
    used = {
        discount.id
        for thing in life.book.things.values()
        if isinstance(thing, Invoice) and thing.subscription == subscription.id
        for discount in thing.discounts
    }
    gone = tuple(
        discount
        for discount in subscription.discounts
        if (discount.end is not None and discount.end <= life.now)
        or (discount.coupon.duration == "once" and discount.id in used)
    )
    if gone:
        _drop(life, subscription, gone)
        life.moved("coupon-ended", subscription.id)


def _drop(life: Life, subscription: Subscription, gone: tuple[Discount, ...]) -> None:
    for discount in gone:
        life.book.tell("customer.discount.deleted", discount, life.now)
    kept = tuple(discount for discount in subscription.discounts if discount not in gone)
    life.book.change(subscription, life.now, _UPDATED, discounts=kept)
