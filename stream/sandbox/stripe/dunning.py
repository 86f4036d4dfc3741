"""Payments fail, are tried again, and are given up (docs.stripe.com/billing/revenue-recovery/smart-retries)."""

from __future__ import annotations

from fractions import Fraction

from stream.sandbox.stripe import invoices, pricing, subscriptions
from stream.sandbox.stripe.life import Life
from stream.sandbox.stripe.objects import Invoice, Subscription

_UPDATED = "customer.subscription.updated"


def attempt(life: Life, invoice: Invoice) -> None:
    """One attempt to collect a renewal's invoice. The first fails now and then, a retry more often than not."""
    subscription = life.book.get(invoice.subscription, Subscription)
    again = invoice.attempt_count > 0
    fails = life.chance(0.7 if again else 0.25)
    if invoices.pay(life, invoice, succeeds=not fails):
        if again:
            recover(life, subscription)
        return
    invoice = life.book.get(invoice.id, Invoice)
    if invoice.next_payment_attempt:
        if subscription.status == "active":
            life.book.change(subscription, life.now, _UPDATED, status="past_due")
        mark(life, delinquent=True)
        life.moved("payment-failed", subscription.id)
        life.at(invoice.next_payment_attempt, lambda: _retry(life, invoice.id))
    else:
        life.moved("payment-failed", subscription.id)
        _give_up(life, subscription, invoice)


def _retry(life: Life, id_: str) -> None:
    invoice = life.book.get(id_, Invoice)
    if invoice.status == "open" and invoice.auto_advance:
        life.begin()
        attempt(life, invoice)


def recover(life: Life, subscription: Subscription) -> None:
    """It has been paid after all."""
    owed = life.book.get(subscription.id, Subscription)
    if owed.status in ("past_due", "unpaid") and not _owes(life, owed):
        was = pricing.monthly(owed.items) if owed.status == "past_due" else Fraction(0)
        life.book.change(owed, life.now, _UPDATED, status="active")
        if not life.subscriptions("past_due", "unpaid"):
            mark(life, delinquent=False)
        life.moved("recovered", owed.id, (was, pricing.monthly(owed.items)))
    else:
        life.moved("recovered", owed.id)


def _give_up(life: Life, subscription: Subscription, invoice: Invoice) -> None:
    """The retries are used up: it ends, is left unpaid, or its invoice is written off, as a company has set it."""
    life.begin()
    way = life.rng.choice(("cancel", "unpaid", "write-off"))
    if way == "cancel":
        subscriptions.end(life, subscription, "payment_failed")
    elif way == "unpaid" and subscription.status in ("active", "past_due"):
        life.book.change(subscription, life.now, _UPDATED, status="unpaid")
        life.moved("unpaid", subscription.id, (pricing.monthly(subscription.items), Fraction(0)))
    else:
        # An invoice that nobody expects to be paid no longer holds its subscription back.
        invoices.write_off(life, invoice)
        if subscription.status == "past_due" and not _owes(life, subscription):
            life.book.change(subscription, life.now, _UPDATED, status="active")
        life.moved("written-off", subscription.id)


def settle(life: Life, subscription: Subscription) -> None:
    """The customer pays every open invoice of a subscription by hand."""
    for thing in list(life.book.things.values()):
        if isinstance(thing, Invoice) and thing.subscription == subscription.id and thing.status == "open":
            life.begin()
            life.book.called()
            invoices.pay(life, thing)
            recover(life, subscription)


def _owes(life: Life, subscription: Subscription) -> bool:
    """Whether an invoice of it has been tried in vain, or is overdue, and is still open."""
    return any(
        isinstance(thing, Invoice)
        and thing.subscription == subscription.id
        and thing.status == "open"
        and (thing.attempt_count > 0 or (thing.due_date is not None and thing.due_date <= life.now))
        for thing in life.book.things.values()
    )


def mark(life: Life, *, delinquent: bool) -> None:
    """Whether the customer owes anything, as Stripe has it."""
    life.book.change(life.customer, life.now, "customer.updated", delinquent=delinquent)
