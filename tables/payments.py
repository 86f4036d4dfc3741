"""What was billed, paid, given back and contested: the part of a customer's row that money is counted from.

Of every object the newest telling is kept (`ledger`), lifetime value is counted from them (`lifetime`), and what is
old and final leaves (`settling`).
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from stream.stripe.shapes import Charge, CreditNote, Dispute, FraudWarning, Invoice, Refund


class Bill(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An invoice. Amounts in minor units, times in epoch seconds. `ended_at` is when it was paid, voided or
    written off; `off_stripe` what was paid outside of Stripe; `credited` what credit notes took off."""

    currency: str
    status: str
    created: int
    due: int = 0
    paid: int = 0
    left: int = 0
    off_stripe: int = 0
    credited: int = 0
    attempts: int = 0
    next_attempt: int | None = None
    due_date: int | None = None
    finalized_at: int | None = None
    ended_at: int | None = None
    period_start: int | None = None
    period_end: int | None = None
    number: str | None = None
    url: str | None = None
    charges: tuple[str, ...] = ()
    intents: tuple[str, ...] = ()


class Payment(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A charge: `taken` is what was captured, `refunded` what it says was given back. Of that `released` was never
    captured."""

    currency: str
    status: str
    created: int
    amount: int
    taken: int = 0
    refunded: int = 0
    decline: str | None = None
    brand: str | None = None
    last4: str | None = None
    invoice: str | None = None
    intent: str | None = None
    released: int = 0


class GivenBack(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A refund."""

    currency: str
    status: str
    created: int
    amount: int
    charge: str | None = None

    @property
    def alive(self) -> bool:
        """Whether it gives the money back: succeeded, or still on its way."""
        return self.status not in ("failed", "canceled")


class Contested(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A dispute, to be answered by `due_by`."""

    currency: str
    status: str
    created: int
    amount: int
    charge: str
    reason: str | None = None
    due_by: int | None = None


class Credited(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A credit note; of `total`, `out_of_band` was given back outside of Stripe."""

    currency: str
    status: str
    created: int
    invoice: str
    total: int
    out_of_band: int = 0


class Warned(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An early fraud warning."""

    created: int
    charge: str
    kind: str | None = None
    actionable: bool = False


class Trouble(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What last kept an invoice from being paid: `kind` is failed, action (the payer has to confirm) or overdue."""

    at: int
    attempt: int
    kind: str


# By the event that tells of it.
TROUBLES = {
    "invoice.payment_failed": "failed",
    "invoice.payment_action_required": "action",
    "invoice.overdue": "overdue",
}

T = TypeVar("T")


class Told(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """An object as last told, at Stripe's `created` of the event."""

    at: int
    body: T


class Window(msgspec.Struct, Generic[T], frozen=True, omit_defaults=True):
    """The objects of one kind that are open; `before` is the watermark, a creation time in epoch seconds."""

    by_id: dict[str, Told[T]] = {}
    before: int = 0

    def get(self, id_: str) -> T | None:
        """An object as last told; None when it has left, or was never there."""
        told = self.by_id.get(id_)
        return told.body if told else None


class Payments(msgspec.Struct, frozen=True, omit_defaults=True):
    """All of a customer's money. `settled` is in minor units by currency, `newest` the newest event's `created`."""

    invoices: Window[Bill] = Window()
    charges: Window[Payment] = Window()
    refunds: Window[GivenBack] = Window()
    disputes: Window[Contested] = Window()
    credit_notes: Window[Credited] = Window()
    warnings: Window[Warned] = Window()
    troubles: dict[str, Trouble] = {}
    settled: dict[str, int] = {}
    newest: int = 0


# By what they are named in `Payments`, those that money is counted from. In this order they leave: what hangs on a
# charge after the charge.
COUNTED = ("charges", "refunds", "disputes", "credit_notes", "invoices")


# From what is told to what is kept


def bill(it: Invoice, at: int) -> Bill:
    """What is kept of an invoice. Its period is that of its lines: the invoice's own is the one before it."""
    starts = [line.period_start for line in it.lines if line.period_start is not None]
    ends = [line.period_end for line in it.lines if line.period_end is not None]
    return Bill(
        currency=it.currency,
        status=it.status,
        created=it.created or at,
        due=it.amount_due,
        paid=it.amount_paid,
        left=it.amount_remaining,
        off_stripe=it.amount_off_stripe if it.status == "paid" else 0,
        credited=it.pre_payment_credit + it.post_payment_credit,
        attempts=it.attempt_count,
        next_attempt=it.next_payment_attempt,
        due_date=it.due_date,
        finalized_at=it.finalized_at,
        ended_at=it.paid_at or it.voided_at or it.uncollectible_at,
        period_start=min(starts, default=it.period_start),
        period_end=max(ends, default=it.period_end),
        number=it.number,
        url=it.hosted_url,
        charges=it.charges,
        intents=it.payment_intents,
    )


def payment(it: Charge, at: int) -> Payment:
    """What is kept of a charge."""
    succeeded = it.status == "succeeded"
    return Payment(
        currency=it.currency,
        status=it.status,
        created=it.created or at,
        amount=it.amount,
        taken=it.amount_captured if succeeded else 0,
        refunded=it.amount_refunded if succeeded and (it.amount_captured or it.released) else 0,
        decline=it.decline if it.status == "failed" else None,
        brand=it.brand,
        last4=it.last4,
        invoice=it.invoice,
        intent=it.payment_intent,
        released=it.released,
    )


def given_back(it: Refund, at: int) -> GivenBack:
    """What is kept of a refund."""
    return GivenBack(it.currency, it.status, it.created or at, it.amount, it.charge)


def contested(it: Dispute, at: int) -> Contested:
    """What is kept of a dispute."""
    return Contested(it.currency, it.status, it.created or at, it.amount, it.charge, it.reason, it.due_by)


def credited(it: CreditNote, at: int) -> Credited:
    """What is kept of a credit note."""
    return Credited(it.currency, it.status, it.created or at, it.invoice, it.total, it.out_of_band)


def warned(it: FraudWarning, at: int) -> Warned:
    """What is kept of an early fraud warning."""
    return Warned(it.created or at, it.charge, it.fraud_type, it.actionable)


def final(it: Bill) -> bool:
    """Whether an invoice is done with: nothing more is to be paid."""
    return it.status not in ("draft", "open")
