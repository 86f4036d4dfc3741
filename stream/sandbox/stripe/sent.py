"""Invoices that are sent and paid by the customer's own doing, in time or late, by card or outside of Stripe
(docs.stripe.com/billing/collection-method)."""

from __future__ import annotations

from stream.sandbox.stripe import dunning, invoices
from stream.sandbox.stripe.life import DAY, Life
from stream.sandbox.stripe.objects import Invoice, Subscription

DAYS_UNTIL_DUE = 14
_UPDATED = "customer.subscription.updated"


def change_collection(life: Life, subscription: Subscription) -> None:
    """From now on its invoices are sent."""
    life.begin()
    life.book.called()
    life.book.change(subscription, life.now, _UPDATED, days_until_due=DAYS_UNTIL_DUE)
    life.moved("collection-changed", subscription.id)


def send(life: Life, invoice: Invoice) -> None:
    """A finalised invoice goes out. It is paid in time, late, or never."""
    life.book.tell("invoice.sent", invoice, life.now)
    due = invoice.due_date or life.now
    life.at(due, lambda: _overdue(life, invoice.id))
    if life.chance(0.9):
        at = life.now + life.rng.randint(1, DAYS_UNTIL_DUE + 10) * DAY + life.rng.randint(1, 80_000)
        cheque = life.chance(0.5)
        life.at(at, lambda: _pay(life, invoice.id, cheque=cheque))


def _overdue(life: Life, id_: str) -> None:
    invoice = life.book.get(id_, Invoice)
    subscription = life.book.get(invoice.subscription, Subscription)
    if invoice.status != "open":
        return
    life.begin()
    life.book.tell("invoice.overdue", invoice, life.now)
    if subscription.status == "active":
        life.book.change(subscription, life.now, _UPDATED, status="past_due")
        dunning.mark(life, delinquent=True)
    life.moved("overdue", subscription.id)


def _pay(life: Life, id_: str, *, cheque: bool) -> None:
    invoice = life.book.get(id_, Invoice)
    if invoice.status != "open" or life.gone:
        return
    subscription = life.book.get(invoice.subscription, Subscription)
    life.begin()
    life.book.called()
    if cheque or life.customer.default_payment_method is None:
        invoices.pay_off_stripe(life, invoice)
    else:
        invoices.pay(life, invoice)
    if subscription.status in ("past_due", "unpaid"):
        dunning.recover(life, subscription)
    else:
        life.moved("paid", subscription.id)
