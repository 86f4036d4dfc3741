"""Disputes and early fraud warnings become Cases of the Account.

A dispute is one Case, open until it is won or lost; an inquiry (`warning_…`) until the bank closes it. A warning is
one as long as a refund can still prevent a dispute. Neither names its customer: both come by way of their charge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from agents.activities import SUBJECT, day
from agents.events import CHARGE, DISPUTE, FRAUD_WARNING, REFUNDS, Event
from agents.payments import known, money, of
from agents.pricing import Money
from agents.touched import Touched
from stream.records import Notice, Reference, Scalar, Write
from stream.settings import CUSTOMER_ID_FIELD, STRIPE_ID_FIELD
from tables import payments
from tables.lifetime import refunded
from tables.payments import Contested, Payment, Warned

FAMILIES = frozenset({DISPUTE, FRAUD_WARNING, CHARGE, *REFUNDS})

CASE = "Case"

_ANSWERED = frozenset({"under_review", "warning_under_review"})
_ENDED = {
    "won": "won",
    "lost": "lost",
    "warning_closed": "closed without a dispute",
    "prevented": "prevented",
}


class Claim(msgspec.Struct, frozen=True):
    """What a Case says. `stage` is open, answered or closed, which the settings name; `due_by` in epoch seconds."""

    id: str
    subject: str
    stage: str
    reason: str | None
    stripe_status: str
    charge: str
    high: bool
    amount: Money | None = None
    due_by: int | None = None
    lines: tuple[str, ...] = ()


SOURCES: dict[str, Callable[[Claim, Touched], Scalar]] = {
    "stripe_id": lambda it, _: it.id,
    "subject": lambda it, _: it.subject[:SUBJECT],
    "status": lambda it, touched: touched.settings.disputes.statuses[it.stage],
    "priority": lambda it, _: "High" if it.high else "Medium",
    "origin": lambda it, touched: touched.settings.disputes.origin,
    "description": lambda it, _: "\n".join(it.lines) or None,
    "amount": lambda it, _: float(it.amount.rounded) if it.amount else None,
    "currency": lambda it, _: it.amount.currency.upper() if it.amount else None,
    "reason": lambda it, _: it.reason,
    "stripe_status": lambda it, _: it.stripe_status,
    "due_by": lambda it, _: day(it.due_by),
    "charge": lambda it, _: it.charge,
}


def project(touched: Touched) -> Iterable[Write | Notice]:
    """The Cases that the events are about, and what people are to be told."""
    for id_, events in _by_id(touched, DISPUTE):
        it, version = of(touched).disputes.get(id_), of(touched).newest
        if it is None:
            it, version = _last(events)
        if not known(it.currency):
            continue
        yield _write(touched, dispute(id_, it), events, version)
        yield from (_notice(touched, event) for event in events if event.ref.type == f"{DISPUTE}.created")
    if touched.settings.disputes.fraud_warnings:
        yield from _warnings(touched)


def _last(events: list[Event]) -> tuple[Contested, int]:
    """A dispute that has left the window, as the newest of the events tells it."""
    last = max(events, key=lambda event: event.ref.created)
    return payments.contested(last.object, last.ref.created), last.ref.created


def dispute(id_: str, it: Contested) -> Claim:
    """What is told of a dispute."""
    amount = money(it.amount, it.currency)
    why = (it.reason or "no reason given").replace("_", " ")
    kind = "Inquiry" if it.status.startswith("warning") else "Dispute"
    ended = _ENDED.get(it.status)
    lines = [f"Amount: {amount.text}", f"Reason: {why}", f"Charge: {it.charge}", f"Status: {it.status}"]
    if it.due_by and not ended:
        lines.append(f"Answer by: {day(it.due_by)}")
    return Claim(
        id=id_,
        subject=f"{kind} of {amount.text}: {why}" + (f" ({ended})" if ended else ""),
        stage="closed" if ended else "answered" if it.status in _ANSWERED else "open",
        reason=it.reason,
        stripe_status=it.status,
        charge=it.charge,
        high=not ended,
        amount=amount,
        due_by=it.due_by,
        lines=tuple(lines),
    )


def _warnings(touched: Touched) -> Iterable[Write]:
    """Of warnings that events are about, or whose charge they are about: its refund ends the matter."""
    by_id = dict(_by_id(touched, FRAUD_WARNING))
    charges: dict[str, list[Event]] = {}
    for event in touched.about(CHARGE, *REFUNDS):
        charge = event.object.id if event.family == CHARGE else event.object.charge
        charges.setdefault(charge or "", []).append(event)
    for id_, told in of(touched).warnings.by_id.items():
        events = [*by_id.get(id_, ()), *charges.get(told.body.charge, ())]
        if events:
            charge = of(touched).charges.get(told.body.charge)
            given = refunded(of(touched), told.body.charge)
            yield _write(touched, warning(id_, told.body, charge, given), events, of(touched).newest)


def warning(id_: str, it: Warned, charge: Payment | None, given: int) -> Claim:
    """What is told of an early fraud warning, and of its charge as far as that is known."""
    amount = money(charge.amount, charge.currency) if charge and known(charge.currency) else None
    kind = (it.kind or "no reason given").replace("_", " ")
    back = charge is not None and 0 < charge.taken <= given
    ended = back or not it.actionable
    lines = [f"Charge: {it.charge}", f"Kind: {kind}"]
    if amount:
        lines.insert(0, f"Amount: {amount.text}")
    if not ended:
        lines.append("A refund now may prevent a dispute.")
    return Claim(
        id=id_,
        subject=f"Early fraud warning{f' on {amount.text}' if amount else ''}: {kind}",
        stage="closed" if ended else "open",
        reason=it.kind,
        stripe_status="refunded" if back else "actionable" if it.actionable else "not actionable",
        charge=it.charge,
        high=not ended,
        amount=amount,
        lines=tuple(lines),
    )


def _by_id(touched: Touched, family: str) -> Iterable[tuple[str, list[Event]]]:
    found: dict[str, list[Event]] = {}
    for event in touched.about(family):
        found.setdefault(event.object.id, []).append(event)
    return found.items()


def _write(touched: Touched, it: Claim, events: list[Event], version: int) -> Write:
    return Write(
        object=CASE,
        external_id_field=STRIPE_ID_FIELD,
        external_id=it.id,
        account=touched.key,
        version=version,
        fields={
            field: SOURCES[source](it, touched) for field, source in touched.settings.fields_of(CASE).items()
        },
        events=tuple(event.ref for event in events),
        parents={
            "Account": Reference("Account", CUSTOMER_ID_FIELD, touched.key),
            "Contact": Reference("Contact", CUSTOMER_ID_FIELD, touched.key),
        },
    )


def _notice(touched: Touched, event: Event) -> Notice:
    it = payments.contested(event.object, event.ref.created)
    amount = money(it.amount, it.currency)
    customer = touched.state.mapping.customer
    body = customer.newest.body if customer else None
    facts: dict[str, Scalar] = {
        "customer": (body.business_name or body.name or body.id) if body else touched.key,
        "dispute": event.object.id,
        "reason": (it.reason or "no reason given").replace("_", " "),
        "due": day(it.due_by),
        "charge": it.charge,
    }
    id_, told = f"{event.object.id}:opened", str(amount.rounded)
    return Notice(id_, "dispute", touched.key, event.ref, facts, told, it.currency.upper())
