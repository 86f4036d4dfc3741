"""What was billed, paid, given back and contested: the part of a customer's row that money is counted from.

Of every object the newest telling is kept: the one of the latest second, and of one second the one furthest in
the object's life, in which nothing goes back (a draft opens, an open invoice is paid, attempts are counted up). So
any order and any number of tellings end the same.

**Lifetime value** is counted by charges, since one payment is told by a charge and by up to three invoice
events, and since 2025-03-31.basil neither names the other: what charges took, and what invoices say was paid
outside of Stripe; less refunds, lost disputes, and what credit notes gave back out of band. A refund that failed or
was canceled gave nothing back. What a charge says was refunded, beyond the refunds known one by one, counts too.

**A settled sum and an open window.** A customer may have 100,000 invoices. So each kind of object has a window:
its `KEPT` newest ones, of those younger than `DAYS` before the customer's newest event as many as make `MOST`, and
all that are still open. Any other leaves: its amount goes into the settled sum, and a watermark remembers up to
which creation time objects have left. An object at or below the watermark that is not in the window has been
counted, and what is told of it later changes nothing: so a replay of the whole history counts nothing twice.

What is guaranteed: the sums are exact for any order and any duplicates as long as no event comes later than `DAYS`
after a younger one of the same customer (Stripe retries for 3 days, and resends by hand for 30), nor after more
than `MOST` younger objects of its kind; and, for a customer who has no more than `KEPT` objects of a kind, without
any condition.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from stream.stripe.shapes import Charge, CreditNote, Dispute, FraudWarning, Invoice, Refund

KEPT = 100
DAYS = 45
# An invoice takes some 500 bytes of the row, a charge 200; the row is one Kafka record of at most 2 MiB.
MOST = 1000

_DAY = 86_400


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


# How far in its life an object is: of two tellings of one second the further one is the later

_INVOICE = {"draft": 0, "open": 1, "uncollectible": 2, "paid": 3, "void": 4, "deleted": 5}
_REFUND = {"pending": 0, "requires_action": 1, "succeeded": 2, "canceled": 3, "failed": 4}
_DISPUTE = {
    "warning_needs_response": 0,
    "warning_under_review": 1,
    "warning_closed": 2,
    "needs_response": 3,
    "under_review": 4,
    "prevented": 5,
    "lost": 6,
    "won": 7,
}
_TROUBLE = {"overdue": 0, "failed": 1, "action": 2}
TROUBLES = {
    "invoice.payment_failed": "failed",
    "invoice.payment_action_required": "action",
    "invoice.overdue": "overdue",
}


def _progress(body: Any) -> tuple[int, ...]:
    match body:
        case Bill():
            waits = body.next_attempt is not None  # within a second retries are only given up
            return _INVOICE.get(body.status, 1), body.attempts, body.paid, body.credited, not waits
        case Payment():
            return body.status != "pending", body.taken, body.refunded
        case GivenBack():
            return (_REFUND.get(body.status, 0),)
        case Contested():
            return (_DISPUTE.get(body.status, 3),)
        case Credited():
            return (body.status == "void",)
        case _:
            return (not body.actionable,)


def _order(told: Told[Any]) -> tuple[Any, ...]:
    """The last resort is the content itself, so that there is always one newest."""
    return told.at, _progress(told.body), msgspec.json.encode(told.body)


# Folding


def told(payments: Payments, at: int, type_: str, it: Any) -> Payments:
    """After one more event of a type about an object, at Stripe's `created` of the event; the same object when it
    tells nothing new."""
    before = payments
    match it:
        case Invoice():
            shown = msgspec.structs.replace(it, status="deleted") if type_ == "invoice.deleted" else it
            payments = _put(payments, "invoices", it.id, at, bill(shown, at))
            payments = _troubled(payments, it, at, TROUBLES.get(type_))
        case Charge():
            payments = _put(payments, "charges", it.id, at, payment(it, at))
            for refund in it.refunds:
                listed = msgspec.structs.replace(given_back(refund, at), charge=it.id)
                payments = _put(payments, "refunds", refund.id, at, listed)
        case Refund():
            payments = _put(payments, "refunds", it.id, at, given_back(it, at))
        case Dispute():
            payments = _put(payments, "disputes", it.id, at, contested(it, at))
        case CreditNote():
            payments = _put(payments, "credit_notes", it.id, at, credited(it, at))
        case FraudWarning():
            payments = _put(payments, "warnings", it.id, at, warned(it, at))
    if at > payments.newest:
        payments = msgspec.structs.replace(payments, newest=at)
    return payments if payments is before else _settle(payments)


def _put(payments: Payments, kind: str, id_: str, at: int, body: Any) -> Payments:
    window: Window[Any] = getattr(payments, kind)
    held = window.by_id.get(id_)
    if held is None and body.created <= window.before:
        return payments  # it has been counted
    newest = Told(at, body)
    if held is not None:
        if _order(newest) <= _order(held):
            newest = held
        newest = _with_release(newest, held.body, body)
        if newest == held:
            return payments
    by_id = {**window.by_id, id_: newest}
    return msgspec.structs.replace(payments, **{kind: msgspec.structs.replace(window, by_id=by_id)})


def _with_release(newest: Told[Any], *bodies: Any) -> Told[Any]:
    """Only what is told in an old version says how much was released, and it stays so in newer ones."""
    released = max((body.released for body in bodies if isinstance(body, Payment)), default=0)
    if not released or newest.body.released == released:
        return newest
    return Told(newest.at, msgspec.structs.replace(newest.body, released=released))


def _troubled(payments: Payments, it: Invoice, at: int, kind: str | None) -> Payments:
    if kind is None or it.id not in payments.invoices.by_id:
        return payments
    now, held = Trouble(at, it.attempt_count, kind), payments.troubles.get(it.id)
    if held is not None and _worst(now) <= _worst(held):
        return payments
    return msgspec.structs.replace(payments, troubles={**payments.troubles, it.id: now})


def _worst(trouble: Trouble) -> tuple[int, int, int]:
    return trouble.at, trouble.attempt, _TROUBLE[trouble.kind]


def retold(log: Payments, held: Payments) -> Payments:
    """What is held, with each object of its windows as a log tells it that may lack the beginning, where that is no
    older. What is settled stays: nobody can tell whether such a log has all of it."""
    windows = {}
    for kind in (*_COUNTED, "warnings"):
        told: Window[Any] = getattr(log, kind)
        known: Window[Any] = getattr(held, kind)
        by_id = dict(known.by_id)
        for id_, one in told.by_id.items():
            if _no_older(one, by_id[id_]) if id_ in by_id else one.body.created > known.before:
                by_id[id_] = one
        windows[kind] = Window(by_id, known.before)
    troubles = dict(held.troubles)
    for id_, trouble in log.troubles.items():
        if id_ in windows["invoices"].by_id and (
            id_ not in troubles or _worst(trouble) >= _worst(troubles[id_])
        ):
            troubles[id_] = trouble
    newest = max(held.newest, log.newest)
    return msgspec.structs.replace(held, **windows, troubles=troubles, newest=newest)


def _no_older(one: Told[Any], other: Told[Any]) -> bool:
    """Of one second the other telling may be missing in a log, so what is further in its life stays."""
    return (one.at, _progress(one.body)) >= (other.at, _progress(other.body))


# Counting


def lifetime(payments: Payments) -> dict[str, int]:
    """Lifetime value in minor units, by currency; a currency in which something was ever paid is there."""
    sums: dict[str, int] = defaultdict(int, payments.settled)
    refunded = _refunds_by_charge(payments)
    for kind in _COUNTED:
        for id_, held in getattr(payments, kind).by_id.items():
            if amount := _worth(held.body, refunded.get(id_, _NOTHING)):
                sums[held.body.currency] += amount
    return dict(sums)


def refunded(payments: Payments, charge: str) -> int:
    """What is said to be given back of a charge that has not left; more than it took is for a person to look at."""
    held = payments.charges.get(charge)
    if held is None:
        return 0
    return max(_refunded(held, _refunds_by_charge(payments).get(charge, _NOTHING)) - held.released, 0)


# What the known refunds of a charge give back, and what those that failed would have.
_Known = tuple[int, int]
_NOTHING: _Known = (0, 0)


def _refunds_by_charge(payments: Payments) -> dict[str, _Known]:
    known: dict[str, _Known] = {}
    for held in payments.refunds.by_id.values():
        it = held.body
        if it.charge is not None:
            alive, failed = known.get(it.charge, _NOTHING)
            known[it.charge] = (alive + it.amount, failed) if it.alive else (alive, failed + it.amount)
    return known


def _refunded(charge: Payment, known: _Known) -> int:
    """What was given back of a charge: the refunds that are known, and what only the charge tells of.

    Whether Stripe takes a failed refund off `amount_refunded` again does not matter here.
    """
    alive, failed = known
    return max(alive, charge.refunded - failed)


def _worth(body: Any, known: _Known) -> int:
    """What an object adds to lifetime value. Of a charge that is what it took and released, less only what its
    refunds, which are counted one by one, do not account for; they never take more than that."""
    match body:
        case Payment():
            alive, _ = known
            whole = body.taken + body.released
            return whole - min(_refunded(body, known), whole) + alive
        case GivenBack():
            return -body.amount if body.alive else 0
        case Contested():
            return -body.amount if body.status == "lost" else 0
        case Credited():
            return -body.out_of_band if body.status == "issued" else 0
        case Bill():
            return body.off_stripe
    return 0


# In this order they leave: what hangs on a charge after the charge.
_COUNTED = ("charges", "refunds", "disputes", "credit_notes", "invoices")


# Settling


def _settle(payments: Payments) -> Payments:
    """Has what is old and final leave. What hangs on a charge stays as long as the charge does."""
    for kind in (*_COUNTED, "warnings"):
        if gone := _leaving(payments, kind):
            payments = _without_them(payments, kind, gone)
    return payments


def _leaving(payments: Payments, kind: str) -> dict[str, Told[Any]]:
    """Beyond `MOST` whatever is final, beyond `KEPT` what is old as well."""
    by_id: dict[str, Told[Any]] = getattr(payments, kind).by_id
    beyond, over = len(by_id) - KEPT, len(by_id) - MOST
    if beyond <= 0:
        return {}
    cutoff = payments.newest - DAYS * _DAY
    if over <= 0 and not any(held.body.created <= cutoff for held in by_id.values()):
        return {}
    by_age = sorted(by_id.items(), key=_age)
    # One of the same second may still come, so those leave together.
    crowded = by_age[over][1].body.created if over > 0 else 0
    gone = {}
    for id_, held in by_age[:beyond]:
        old = held.at <= cutoff and held.body.created <= cutoff
        if (old or held.body.created < crowded) and _final(payments, held.body, old=old):
            gone[id_] = held
    return gone


def _age(one: tuple[str, Told[Any]]) -> tuple[int, str]:
    return one[1].body.created, one[0]


def _without_them(payments: Payments, kind: str, gone: Mapping[str, Told[Any]]) -> Payments:
    window: Window[Any] = getattr(payments, kind)
    settled = dict(payments.settled)
    refunded = _refunds_by_charge(payments)
    for id_, held in gone.items():
        if amount := _worth(held.body, refunded.get(id_, _NOTHING)):
            settled[held.body.currency] = settled.get(held.body.currency, 0) + amount
    troubles = payments.troubles
    if kind == "invoices" and not gone.keys().isdisjoint(troubles):
        troubles = _without(troubles, gone)
    before = max(window.before, *(held.body.created for held in gone.values()))
    left = Window(_without(window.by_id, gone), before)
    return msgspec.structs.replace(payments, settled=settled, troubles=troubles, **{kind: left})


def _without(held: Mapping[str, T], gone: Iterable[str]) -> dict[str, T]:
    leaving = set(gone)
    return {id_: one for id_, one in held.items() if id_ not in leaving}


def _final(payments: Payments, body: Any, *, old: bool) -> bool:
    match body:
        case Bill():
            return final(body)
        case Payment():
            # What is authorised can be captured for some days; an old one has expired.
            return body.status == "failed" or body.taken > 0 or (old and body.status != "pending")
        case GivenBack():
            ended = body.status in ("succeeded", "failed", "canceled")
            return ended and body.charge not in payments.charges.by_id
        case Contested():
            closed = body.status in ("won", "lost", "warning_closed", "prevented")
            return closed and body.charge not in payments.charges.by_id
    return True


def final(it: Bill) -> bool:
    """Whether an invoice is done with: nothing more is to be paid."""
    return it.status not in ("draft", "open")
