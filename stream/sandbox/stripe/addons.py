"""Items that are added to a running subscription: in a rhythm of their own, as flexible billing allows
(docs.stripe.com/billing/subscriptions/mixed-interval), and at first in a trial of their own, as one can since
2026-09-30.endive."""

from __future__ import annotations

import msgspec

from stream.sandbox.stripe import invoices, pricing, subscriptions
from stream.sandbox.stripe.catalogue import Plan
from stream.sandbox.stripe.life import DAY, Life, later
from stream.sandbox.stripe.objects import Item, Subscription


def add(life: Life, subscription: Subscription, plan: Plan, trial_days: int) -> None:
    """One more item, from now on; without a trial it is billed at once."""
    book, now, price = life.book, life.now, plan.price
    was = pricing.monthly(paid(subscription.items))
    ends = now + trial_days * DAY if trial_days else later(now, price.interval, price.interval_count, now)
    life.begin()
    book.called()
    item = Item(
        id=book.new_id("si_", 14),
        created=now,
        price=price,
        quantity=subscriptions.quantity(life, plan),
        period_start=now,
        period_end=ends,
        trial_start=now if trial_days else None,
        trial_end=ends if trial_days else None,
    )
    items = (*subscription.items, item)
    if trial_days:
        subscription = book.change(subscription, now, subscriptions.UPDATED, items=items)
        life.at(now + trial_days * DAY, lambda: _convert(life, subscription.id, item.id))
    else:
        subscription = _bill(life, subscription, items, item)
    life.moved("item-added", subscription.id, (was, pricing.monthly(paid(subscription.items))))


def paid(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Those that are not in a trial of their own."""
    return tuple(item for item in items if item.trial_end is None)


def _bill(life: Life, subscription: Subscription, items: tuple[Item, ...], new: Item) -> Subscription:
    id_ = life.book.new_id("in_1")
    changed = life.book.change(subscription, life.now, subscriptions.UPDATED, items=items, latest_invoice=id_)
    lines = invoices.lines_of(life, (new,))
    bill = invoices.draft(life, changed, id_, "subscription_update", lines, due=life.now)
    invoices.pay(life, invoices.finalise(life, bill))
    return subscriptions.current(life, changed)


def _convert(life: Life, id_: str, item_id: str) -> None:
    """The item's trial is over, and its first period begins."""
    subscription = life.book.get(id_, Subscription)
    if subscription.status not in subscriptions.LIVING:
        return
    old = next(item for item in subscription.items if item.id == item_id)
    was = pricing.monthly(paid(subscription.items))
    finish = later(life.now, old.price.interval, old.price.interval_count, life.now)
    new = msgspec.structs.replace(
        old, period_start=life.now, period_end=finish, trial_start=None, trial_end=None
    )
    items = tuple(new if item.id == item_id else item for item in subscription.items)
    life.begin()
    if subscription.status in ("active", "past_due"):
        subscription = _bill(life, subscription, items, new)
    else:
        subscription = life.book.change(subscription, life.now, subscriptions.UPDATED, items=items)
    life.moved("item-converted", id_, (was, pricing.monthly(paid(subscription.items))))
