"""Folding what is told of a customer's money.

Of every object the newest telling is kept: the one of the latest second, and of one second the one furthest in
the object's life, in which nothing goes back (a draft opens, an open invoice is paid, attempts are counted up). So
any order and any number of tellings end the same.
"""

from __future__ import annotations

from typing import Any

import msgspec

from stream.stripe.shapes import Charge, CreditNote, Dispute, FraudWarning, Invoice, Refund
from tables.payments import (
    COUNTED,
    TROUBLES,
    Bill,
    Contested,
    Credited,
    GivenBack,
    Payment,
    Payments,
    Told,
    Trouble,
    Window,
    bill,
    contested,
    credited,
    given_back,
    payment,
    warned,
)
from tables.settling import settle

# How far in its life an object is: of two tellings of one second the further one is the later.
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
    return payments if payments is before else settle(payments)


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
    for kind in (*COUNTED, "warnings"):
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
