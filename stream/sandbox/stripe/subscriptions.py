"""Subscriptions begin, renew and end (docs.stripe.com/billing/subscriptions/overview)."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec

from stream.sandbox.stripe import discounts, dunning, invoices, pricing, sent
from stream.sandbox.stripe.catalogue import Plan
from stream.sandbox.stripe.life import DAY, HOUR, Life, later
from stream.sandbox.stripe.objects import (
    Cancellation,
    Invoice,
    Item,
    Subscription,
)

LIVING = ("incomplete", "trialing", "active", "past_due", "unpaid", "paused")
UPDATED = "customer.subscription.updated"
_SCALED = ("seats", "graduated", "volume", "packs")
_FEEDBACK = ("too_expensive", "missing_features", "switched_service", "unused", "low_quality", None)
_COMMENTS = ("We close the shop.", "Zu teuer für uns.", None, None)


def quantity(life: Life, plan: Plan) -> int | None:
    """How much of a plan a customer takes; of a metered one that is known only afterwards."""
    if plan.kind == "metered":
        return None
    if plan.kind == "packs":
        return life.rng.randint(1, 9) * 700
    return life.rng.choice((1, 2, 3, 5, 8, 20, 21, 60)) if plan.kind in _SCALED else 1


def begin(
    life: Life,
    plans: list[Plan],
    *,
    trial_days: int = 0,
    missing: str = "create_invoice",
    fails: bool = False,
) -> Subscription:
    """`customer.subscription.created`, with its first invoice. `missing` is what a trial does that ends
    without a card. One whose first payment fails is incomplete, and expires after 23 hours."""
    book, now = life.book, life.now
    life.begin()
    book.called()
    before = life.subscriptions()
    first = plans[0].price
    finish = now + trial_days * DAY if trial_days else later(now, first.interval, first.interval_count, now)
    items = tuple(
        Item(book.new_id("si_", 14), now, plan.price, quantity(life, plan), now, finish) for plan in plans
    )
    status = "trialing" if trial_days else "incomplete" if fails or life.chance(0.4) else "active"
    invoice_id = book.new_id("in_1")
    subscription = book.add(
        Subscription(
            id=book.new_id("sub_1"),
            created=now,
            account=book.account,
            customer=life.customer.id,
            status=status,
            currency=first.currency,
            items=items,
            billing_cycle_anchor=finish if trial_days else now,
            trial_start=now if trial_days else None,
            trial_end=finish if trial_days else None,
            latest_invoice=invoice_id,
            missing_payment_method=missing,
            metadata={"campaign": life.rng.choice(("spring", "fair", "ads"))} if life.chance(0.3) else {},
        ),
        "customer.subscription.created",
    )
    if life.customer.currency is None:
        book.change(life.customer, now, "customer.updated", currency=first.currency)
    if life.chance(0.25):
        subscription = discounts.redeem(life, subscription)
    lines = invoices.lines_of(life, items, free=bool(trial_days))
    bill = invoices.draft(life, subscription, invoice_id, "subscription_create", lines, due=now)
    bill = invoices.finalise(life, bill)
    if fails and bill.amount_due and life.chance(0.4):
        paid = False
        invoices.ask(life, bill)
    else:
        paid = invoices.pay(life, bill, succeeds=not fails)
    subscription = current(life, subscription)
    if status == "incomplete" and paid:
        subscription = book.change(subscription, life.now, UPDATED, status="active")
    back = any(old.status == "canceled" for old in before)
    kind = "trial-started" if trial_days else "reactivated" if back and paid else "new"
    life.moved(kind, subscription.id, (Fraction(0), monthly(subscription)))
    if not paid:
        life.at(life.now + 23 * HOUR, lambda: _expire(life, subscription.id))
    elif trial_days:
        life.at(finish - 3 * DAY, lambda: _warn(life, subscription.id))
        life.at(finish, lambda: _convert(life, subscription.id))
    else:
        plan_renewal(life, subscription)
    return subscription


def current(life: Life, subscription: Subscription) -> Subscription:
    """As it now is."""
    return life.book.get(subscription.id, Subscription)


def monthly(subscription: Subscription) -> Fraction:
    """What its licensed items bring in a month at list price."""
    return pricing.monthly(subscription.items)


def finish_first(life: Life, subscription: Subscription) -> None:
    """The customer pays the first invoice after all, with a card that works: no longer incomplete."""
    subscription = current(life, subscription)
    if subscription.status != "incomplete":
        return
    life.begin()
    life.book.called()
    invoices.pay(life, life.book.get(str(subscription.latest_invoice), Invoice))
    subscription = life.book.change(subscription, life.now, UPDATED, status="active")
    life.moved("recovered", subscription.id, (Fraction(0), monthly(subscription)))
    plan_renewal(life, subscription)


def _expire(life: Life, id_: str) -> None:
    subscription = life.book.get(id_, Subscription)
    if subscription.status != "incomplete":
        return
    life.begin()
    life.book.change(subscription, life.now, UPDATED, status="incomplete_expired", ended_at=life.now)
    invoices.void(life, life.book.get(str(subscription.latest_invoice), Invoice))
    life.moved("expired", id_, (monthly(subscription), Fraction(0)))


def _warn(life: Life, id_: str) -> None:
    subscription = life.book.get(id_, Subscription)
    if subscription.status == "trialing":
        life.book.tell("customer.subscription.trial_will_end", subscription, life.now)


def _convert(life: Life, id_: str) -> None:
    """The trial ends: with a card it is billed; without one it pauses or ends, as was agreed."""
    subscription = life.book.get(id_, Subscription)
    if subscription.status != "trialing":
        return
    if subscription.cancel_at_period_end:
        end(life, subscription, "cancellation_requested")
    elif life.customer.default_payment_method:
        life.begin()
        _roll(life, subscription, status="active")
        life.moved("trial-converted", id_, (Fraction(0), monthly(subscription)))
    elif subscription.missing_payment_method == "pause":
        life.begin()
        paused = {"status": "paused", "paused_at": life.now}
        life.book.change(subscription, life.now, UPDATED, "customer.subscription.paused", **paused)
        life.moved("paused", id_, (monthly(subscription), Fraction(0)))
    else:
        end(life, subscription, "payment_failed")


def plan_renewal(life: Life, subscription: Subscription) -> None:
    """Plans the next renewal, and the word of it three days before. A later change of the period makes
    both void."""
    id_, due = subscription.id, subscription.period_end
    life.at(due - 3 * DAY, lambda: _announce(life, id_, due))
    life.at(due, lambda: renew(life, id_, due))


def _next(subscription: Subscription) -> tuple[Item, ...]:
    """Its items in the period that follows; those of another rhythm stay in theirs."""
    start = subscription.period_end
    price = subscription.items[0].price
    finish = later(start, price.interval, price.interval_count, subscription.billing_cycle_anchor)
    return tuple(
        msgspec.structs.replace(item, period_start=start, period_end=finish)
        if item.period_end == start
        else item
        for item in subscription.items
    )


def _due(before: tuple[Item, ...], after: tuple[Item, ...]) -> tuple[Item, ...]:
    """Those of the items after whose period began."""
    held = {item.id: item.period_start for item in before}
    return tuple(item for item in after if held.get(item.id) != item.period_start)


def _announce(life: Life, id_: str, due: int) -> None:
    subscription = life.book.get(id_, Subscription)
    bills = subscription.status in ("active", "past_due") and not subscription.cancel_at_period_end
    if bills and subscription.period_end == due and life.now > subscription.period_start:
        following = _next(subscription)
        invoices.foretell(life, subscription, _due(subscription.items, following))


def renew(life: Life, id_: str, due: int) -> None:
    """A period ends: what was to be cancelled ends, everything else goes into the next one."""
    subscription = life.book.get(id_, Subscription)
    if subscription.status not in ("active", "past_due", "unpaid") or subscription.period_end != due:
        return
    if subscription.cancel_at_period_end:
        end(life, subscription, "cancellation_requested")
        return
    life.begin()
    discounts.lapse(life, subscription)
    subscription = _roll(life, current(life, subscription))
    life.moved("renewed", id_, (monthly(subscription), monthly(subscription)))


def _roll(life: Life, subscription: Subscription, **changes: Any) -> Subscription:
    """The next period begins, with a draft of its invoice that is finalised an hour later."""
    book = life.book
    ended, items = subscription.items, _next(subscription)
    id_ = book.new_id("in_1")
    subscription = book.change(subscription, life.now, UPDATED, items=items, latest_invoice=id_, **changes)
    lines = life.pending.pop(subscription.id, ()) + invoices.lines_of(life, _due(ended, items), ended)
    collects = subscription.status != "unpaid" and (
        subscription.pause is None or subscription.pause.behavior != "keep_as_draft"
    )
    due = life.now + HOUR if collects else None
    invoices.draft(life, subscription, id_, "subscription_cycle", lines, due=due)
    if due:
        life.at(due, lambda: collect(life, id_))
    plan_renewal(life, subscription)
    return subscription


def collect(life: Life, invoice_id: str) -> None:
    """The draft of a renewal becomes a bill, and is collected as long as collection is not paused."""
    invoice = life.book.get(invoice_id, Invoice)
    subscription = life.book.get(invoice.subscription, Subscription)
    if invoice.status != "draft" or subscription.status not in ("active", "past_due"):
        return
    life.begin()
    invoice = invoices.finalise(life, invoice)
    if subscription.pause and subscription.pause.behavior == "void":
        invoices.void(life, invoice)
    elif subscription.pause:
        invoices.write_off(life, invoice)
    elif invoice.due_date is not None and invoice.amount_due:
        sent.send(life, invoice)
        life.moved("billed", subscription.id)
    else:
        dunning.attempt(life, invoice)


def schedule_end(life: Life, subscription: Subscription) -> None:
    """It is to end with the period."""
    life.begin()
    life.book.called()
    life.book.change(
        subscription,
        life.now,
        UPDATED,
        cancel_at_period_end=True,
        cancel_at=subscription.period_end,
        canceled_at=life.now,
        cancellation=_why(life, "cancellation_requested"),
    )
    life.moved("cancellation-scheduled", subscription.id, (monthly(subscription),) * 2)


def withdraw_end(life: Life, subscription: Subscription) -> None:
    """It is not to end after all."""
    life.begin()
    life.book.called()
    life.book.change(
        subscription,
        life.now,
        UPDATED,
        cancel_at_period_end=False,
        cancel_at=None,
        canceled_at=None,
        cancellation=Cancellation(),
    )
    life.moved("cancellation-withdrawn", subscription.id, (monthly(subscription),) * 2)


def end(life: Life, subscription: Subscription, reason: str) -> None:
    """`customer.subscription.deleted`: it has ended, and changes no more."""
    subscription = current(life, subscription)
    life.pending.pop(subscription.id, None)
    invoices.give_up(life, subscription)
    why = subscription.cancellation if subscription.cancel_at_period_end else _why(life, reason)
    life.book.change(
        subscription,
        life.now,
        "customer.subscription.deleted",
        status="canceled",
        canceled_at=subscription.canceled_at or life.now,
        ended_at=life.now,
        cancellation=why,
        pause=None,
    )
    life.moved("cancelled", subscription.id, (monthly(subscription), Fraction(0)))


def cancel(life: Life, subscription: Subscription) -> None:
    """Somebody ends it at once."""
    life.begin()
    life.book.called()
    end(life, subscription, "cancellation_requested")


def _why(life: Life, reason: str) -> Cancellation:
    if reason != "cancellation_requested":
        return Cancellation(reason)
    return Cancellation(reason, life.rng.choice(_FEEDBACK), life.rng.choice(_COMMENTS))
