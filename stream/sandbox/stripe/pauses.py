"""A subscription, or the collection of its invoices, pauses and goes on (docs: billing/subscriptions/pause)."""

from __future__ import annotations

from fractions import Fraction

import msgspec

from stream.sandbox.stripe import invoices
from stream.sandbox.stripe.life import DAY, Life, later
from stream.sandbox.stripe.objects import Item, Pause, PauseBehavior, Subscription
from stream.sandbox.stripe.subscriptions import LIVING, UPDATED, monthly, plan_renewal


def pause_collection(life: Life, subscription: Subscription, behavior: PauseBehavior) -> None:
    """Its status stays as it is, and its invoices are not collected."""
    life.begin()
    life.book.called()
    back = life.now + life.rng.randint(10, 40) * DAY
    life.book.change(subscription, life.now, UPDATED, pause=Pause(behavior, back))
    life.moved("paused", subscription.id, (monthly(subscription),) * 2)
    life.at(back, lambda: resume_collection(life, subscription.id))


def resume_collection(life: Life, id_: str) -> None:
    """Collection goes on; drafts that were kept stay drafts."""
    subscription = life.book.get(id_, Subscription)
    if subscription.pause is None or subscription.status not in LIVING:
        return
    life.begin()
    life.book.change(subscription, life.now, UPDATED, pause=None)
    life.moved("resumed", id_, (monthly(subscription),) * 2)


def pause(life: Life, subscription: Subscription) -> None:
    """`status=paused` on request, as one can since 2026-09-30.endive."""
    life.begin()
    life.book.called()
    asleep = {"status": "paused", "paused_at": life.now}
    life.book.change(subscription, life.now, UPDATED, "customer.subscription.paused", **asleep)
    life.moved("paused", subscription.id, (monthly(subscription), Fraction(0)))


def resume(life: Life, subscription: Subscription) -> None:
    """A paused one goes on: a new period begins now, and is paid at once."""
    book = life.book
    life.begin()
    book.called()
    items = tuple(
        msgspec.structs.replace(item, period_start=life.now, period_end=_after(item, life.now))
        for item in subscription.items
    )
    id_ = book.new_id("in_1")
    subscription = book.change(
        subscription,
        life.now,
        UPDATED,
        "customer.subscription.resumed",
        status="active",
        paused_at=None,
        items=items,
        billing_cycle_anchor=life.now,
        latest_invoice=id_,
    )
    lines = life.pending.pop(subscription.id, ()) + invoices.lines_of(life, items)
    bill = invoices.draft(life, subscription, id_, "subscription_cycle", lines, due=life.now)
    invoices.pay(life, invoices.finalise(life, bill))
    life.moved("resumed", subscription.id, (Fraction(0), monthly(subscription)))
    plan_renewal(life, subscription)


def _after(item: Item, start: int) -> int:
    """The end of the period of an item that begins now."""
    return later(start, item.price.interval, item.price.interval_count, start)
