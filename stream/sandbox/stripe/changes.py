"""A subscription gets another plan, quantity or note (docs.stripe.com/billing/subscriptions/change-price)."""

from __future__ import annotations

from typing import Any

import msgspec

from stream.sandbox.stripe import invoices, pricing
from stream.sandbox.stripe.catalogue import Plan
from stream.sandbox.stripe.life import Life, later
from stream.sandbox.stripe.objects import Line, Subscription
from stream.sandbox.stripe.subscriptions import UPDATED, monthly, plan_renewal, quantity


def change_item(life: Life, subscription: Subscription, plan: Plan | None, amount: int | None = None) -> None:
    """Another plan, or another quantity, of the first item. Dearer plans are billed at once, more seats with
    the next invoice, what gets cheaper is not paid back. Another interval begins a new period now."""
    book = life.book
    old = subscription.items[0]
    price = plan.price if plan else old.price
    new = msgspec.structs.replace(old, price=price, quantity=amount if plan is None else quantity(life, plan))
    was = monthly(subscription)
    switched = (price.interval, price.interval_count) != (old.price.interval, old.price.interval_count)
    trial = subscription.status == "trialing"
    if switched and not trial:
        finish = later(life.now, price.interval, price.interval_count, life.now)
        new = msgspec.structs.replace(new, period_start=life.now, period_end=finish)
    items = (new, *subscription.items[1:])
    more = pricing.monthly(items) > was
    life.begin()
    book.called()
    bills = not trial and (switched or (more and plan is not None))
    changes: dict[str, Any] = {"items": items}
    if switched and not trial:
        changes["billing_cycle_anchor"] = life.now
    lines: tuple[Line, ...] = ()
    if not trial and (bills or more):
        rebates = invoices.discounts_of(life, subscription)
        lines = invoices.prorated(life, old, new, rebates, life.now)
    if bills:
        changes["latest_invoice"] = book.new_id("in_1")
    subscription = book.change(subscription, life.now, UPDATED, **changes)
    if bills:
        waiting = life.pending.pop(subscription.id, ())
        bill = invoices.draft(
            life,
            subscription,
            changes["latest_invoice"],
            "subscription_update",
            waiting + lines,
            due=life.now,
        )
        invoices.pay(life, invoices.finalise(life, bill))
    elif lines:
        life.pending[subscription.id] = life.pending.get(subscription.id, ()) + lines
    kind = "seats" if plan is None else "interval" if switched else "upgrade" if more else "downgrade"
    life.moved(kind, subscription.id, (was, monthly(subscription)))
    if switched and not trial:
        plan_renewal(life, subscription)


def annotate(life: Life, subscription: Subscription) -> None:
    """Somebody's note, and nothing that matters to billing."""
    life.begin()
    life.book.called()
    life.edits += 1
    notes = {**subscription.metadata, "note": f"call {life.edits}"}
    life.book.change(subscription, life.now, UPDATED, metadata=notes)
    life.moved("edited", subscription.id, (monthly(subscription),) * 2)
