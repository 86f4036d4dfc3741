"""Invoices and payments become activities of the Account: completed Tasks, by their Stripe ID.

An invoice is one as soon as it is finalised, and follows it: open, paid, voided, written off. A charge is one
whether it succeeded or failed, with what was given back of it. Where the mapping has `Stripe_Invoice__c` or
`Stripe_Charge__c` it is a record of that object instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from agents import activities
from agents.activities import Activity, day
from agents.declines import in_words
from agents.events import CHARGE, CREDIT_NOTE, INVOICE, REFUNDS, Event
from agents.payments import known, money, of
from agents.touched import Touched
from stream.records import Write
from tables import payments
from tables.lifetime import refunded
from tables.payments import Bill, Payment

FAMILIES = frozenset({INVOICE, CHARGE, CREDIT_NOTE, *REFUNDS})

_WORDS = {"open": "is open", "paid": "is paid", "void": "was voided", "uncollectible": "was written off"}


def project(touched: Touched) -> Iterable[Write]:
    """The activities that the events are about."""
    kinds = touched.settings.activities.of
    if "invoices" in kinds:
        yield from _invoices(touched)
    if "charges" in kinds:
        yield from _charges(touched)


def _invoices(touched: Touched) -> Iterable[Write]:
    for id_, events in _by_id(touched, {INVOICE: "id", CREDIT_NOTE: "invoice"}):
        it = of(touched).invoices.get(id_)
        version = of(touched).newest
        if it is None and (last := _ended(events)):
            it, version = last
        if it is not None and it.status in _WORDS and known(it.currency):
            yield activities.write(
                touched, invoice(touched, id_, it), events, version, _object(touched, activities.INVOICE)
            )


def _ended(events: Iterable[Event]) -> tuple[Bill, int] | None:
    """An invoice that has left the window, as the newest event that tells its end has it, and that event's time."""
    told = [
        (payments.bill(event.object, event.ref.created), event.ref.created)
        for event in events
        if event.family == INVOICE and event.object.id
    ]
    ended = [one for one in told if payments.final(one[0])]
    return max(ended, key=lambda one: one[1], default=None)


def invoice(touched: Touched, id_: str, it: Bill) -> Activity:
    """What is told of an invoice."""
    due, credit = money(it.due, it.currency), _credited(touched, id_, it)
    lines = [f"Amount due: {due.text}", f"Paid: {money(it.paid, it.currency).text}"]
    if it.status == "open":
        lines.append(f"Remaining: {money(it.left, it.currency).text}")
    if it.off_stripe:
        lines.append(f"Paid outside of Stripe: {money(it.off_stripe, it.currency).text}")
    if credit:
        lines.append(f"Credited: {money(credit, it.currency).text}")
    if it.period_start and it.period_end:
        lines.append(f"Period: {day(it.period_start)} to {day(it.period_end)}")
    if it.due_date:
        lines.append(f"Due: {day(it.due_date)}")
    if it.url:
        lines.append(f"Page: {it.url}")
    return Activity(
        id=id_,
        subject=f"Invoice {it.number or id_} {_WORDS[it.status]}: {due.text}",
        at=it.ended_at or it.finalized_at or it.created,
        lines=tuple(lines),
        amount=due,
        paid=money(it.paid, it.currency),
        number=it.number,
        stripe_status=it.status,
        period_start=it.period_start,
        period_end=it.period_end,
        page=it.url,
    )


def _credited(touched: Touched, id_: str, it: Bill) -> int:
    """What credit notes took off: as the invoice says, or they themselves when it has not been told since."""
    notes = sum(
        told.body.total
        for told in of(touched).credit_notes.by_id.values()
        if told.body.invoice == id_ and told.body.status == "issued"
    )
    return max(it.credited, notes)


def _charges(touched: Touched) -> Iterable[Write]:
    for id_, events in _by_id(touched, {CHARGE: "id", **dict.fromkeys(REFUNDS, "charge")}):
        it, given = of(touched).charges.get(id_), refunded(of(touched), id_)
        version = of(touched).newest
        if it is None and (told := [event for event in events if event.family == CHARGE]):
            # It has left the window, so this is its end, but for what is given back later.
            last = max(told, key=lambda event: event.ref.created)
            it, version = payments.payment(last.object, last.ref.created), last.ref.created
            given = max(it.refunded - it.released, 0)
        if it is not None and known(it.currency):
            yield activities.write(
                touched, charge(id_, it, given), events, version, _object(touched, activities.CHARGE)
            )


def charge(id_: str, it: Payment, given: int) -> Activity:
    """What is told of a payment, of which so much was given back."""
    amount = money(it.taken or it.amount, it.currency)
    card = " ".join(part for part in (it.brand, it.last4) if part)
    subject = f"Payment of {amount.text}"
    lines = [f"Status: {it.status}"]
    if it.status == "failed":
        subject += f" failed: {in_words(it.decline)}" if it.decline else " failed"
    elif it.status == "pending":
        subject += " is on its way"
    elif it.taken < it.amount:
        subject += "" if it.taken else " authorised, not captured"
        lines.append(f"Authorised: {money(it.amount, it.currency).text}")
    if given:
        back = money(min(given, it.taken), it.currency).text
        subject += f", {back} given back"
        lines.append(f"Given back: {back}")
    if card:
        lines.append(f"Card: {card}")
    if it.decline:
        lines.append(f"Declined: {it.decline}")
    return Activity(
        id=id_,
        subject=subject,
        at=it.created,
        lines=tuple(lines),
        amount=amount,
        paid=money(it.taken, it.currency),
        stripe_status=it.status,
    )


def _by_id(touched: Touched, families: dict[str, str]) -> Iterable[tuple[str, list[Event]]]:
    """The events by the object that they are about, which an attribute of theirs names."""
    found: dict[str, list[Event]] = defaultdict(list)
    for event in touched.about(*families):
        if id_ := getattr(event.object, families[event.family]):
            found[id_].append(event)
    return found.items()


def _object(touched: Touched, custom: str) -> str:
    return custom if custom in touched.settings.mapping else activities.TASK
