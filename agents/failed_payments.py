"""A payment fails: the Account is at risk, its owner gets a Task, people are told.

An invoice whose payment failed, asks for the payer's confirmation, or is overdue, puts the Account at risk as long
as it is open; so does a subscription that is past due or unpaid. Each such invoice is one Task of high priority for
the Account's owner: another failure updates it, and it is done once the invoice is paid, voided or written off. All
of this follows from what is remembered, so failure, recovery and retry may come in any order. People are told once
for each attempt that failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from agents import activities
from agents.activities import Activity, day
from agents.declines import in_words
from agents.events import CHARGE, INVOICE, Event
from agents.payments import known, money, of
from agents.pricing import Money
from agents.touched import Touched, once
from stream.records import Notice, Owner, Scalar, Write
from tables import payments
from tables.payments import TROUBLES, Bill, Payment, Trouble

FAMILIES = frozenset({INVOICE, CHARGE})

# A charge and the event that tells of its failure are made within seconds of each other.
ATTEMPT_SECONDS = 3600
DAY = 86_400

_UNPAID = {"unpaid": "a subscription is unpaid", "past_due": "a subscription is past due"}
_DONE = {"paid": "paid", "void": "voided", "uncollectible": "written off", "deleted": "deleted"}


class Owed(msgspec.Struct, frozen=True):
    """An invoice that could not be collected. `charge` is the failed attempt, where Stripe told of it."""

    id: str
    bill: Bill
    trouble: Trouble
    charge: tuple[str, Payment] | None

    @property
    def open(self) -> bool:
        """Whether it still is to be paid."""
        return self.bill.status == "open"

    @property
    def left(self) -> Money:
        """What is still to be paid."""
        return money(self.bill.left, self.bill.currency)

    @property
    def why(self) -> str:
        """In plain words."""
        decline = self.charge[1].decline if self.charge else None
        match self.trouble.kind:
            case "action":
                return "the payer has to confirm the payment"
            case "overdue":
                return "the invoice is overdue"
        return in_words(decline) if decline else "the payment failed"


def owed(touched: Touched) -> list[Owed]:
    """All invoices of the window that could not be collected at first, the latest trouble last."""
    held = of(touched)
    found = []
    for id_, trouble in held.troubles.items():
        bill = held.invoices.get(id_)
        if bill is not None and known(bill.currency):
            found.append(Owed(id_, bill, trouble, _attempt(touched, id_, bill, trouble)))
    return sorted(found, key=lambda one: (one.trouble.at, one.id))


def _attempt(touched: Touched, id_: str, bill: Bill, trouble: Trouble) -> tuple[str, Payment] | None:
    """The charge that failed. Since 2025-03-31.basil neither names the other: then it is the one of the same moment
    and amount."""
    if trouble.kind != "failed":
        return None
    named, alike = [], []
    for charge, told in of(touched).charges.by_id.items():
        it = told.body
        if it.status != "failed" or abs(it.created - trouble.at) > ATTEMPT_SECONDS:
            continue
        if it.invoice == id_ or charge in bill.charges or (it.intent and it.intent in bill.intents):
            named.append((it.created, charge, it))
        elif it.invoice is None and (it.amount, it.currency) == (bill.due, bill.currency):
            alike.append((it.created, charge, it))
    newest = max(named or alike, key=lambda one: one[:2], default=None)
    return (newest[1], newest[2]) if newest else None


def project(touched: Touched) -> Iterable[Write | Notice]:
    """The Tasks of the invoices that the events are about, and what people are to be told."""
    about: dict[str, list[Event]] = {}
    for event in touched.about(*FAMILIES):
        about.setdefault(event.object.id, []).append(event)
    for one in owed(touched):
        events = [*about.get(one.id, ()), *(about.get(one.charge[0], ()) if one.charge else ())]
        if events and touched.settings.failed_payments.task:
            yield _task(touched, one, events)
        for event in about.get(one.id, ()):
            if event.ref.type in TROUBLES:
                yield _notice(touched, event, one)


def _task(touched: Touched, one: Owed, events: list[Event]) -> Write:
    it, rules = one.bill, touched.settings.failed_payments
    due = money(it.due, it.currency)
    lines = [] if one.open else [f"Done: the invoice is {_DONE.get(it.status, it.status)}."]
    lines += [
        f"Invoice: {it.number or one.id}",
        f"Amount due: {due.text}",
        f"Remaining: {one.left.text}",
        f"Reason: {one.why}",
        f"Attempts: {one.trouble.attempt}",
    ]
    if one.open and it.next_attempt:
        lines.append(f"Next attempt: {day(it.next_attempt)}")
    if it.url:
        lines.append(f"Page: {it.url}")
    task = Activity(
        id=f"{one.id}:payment",
        subject=f"{due.text} could not be collected: {one.why} ({it.number or one.id})",
        at=one.trouble.at + rules.due_days * DAY,
        lines=tuple(lines),
        open=one.open,
        high=True,
        amount=due,
        paid=money(it.paid, it.currency),
        number=it.number,
        stripe_status=it.status,
        period_start=it.period_start,
        period_end=it.period_end,
        page=it.url,
    )
    write = activities.write(touched, task, events, of(touched).newest)
    return msgspec.structs.replace(write, owner=Owner("What", rules.fallback_owner))


def _notice(touched: Touched, event: Event, one: Owed) -> Notice:
    """Of what the event tells; the reason also from the charge, if that has been told by now."""
    told = payments.bill(event.object, event.ref.created)
    trouble = Trouble(event.ref.created, told.attempts, TROUBLES[event.ref.type])
    charge = _attempt(touched, one.id, told, trouble)
    it = Owed(one.id, told, trouble, charge)
    customer = touched.state.mapping.customer
    body = customer.newest.body if customer else None
    facts: dict[str, Scalar] = {
        "customer": (body.business_name or body.name or body.id) if body else touched.key,
        "invoice": told.number or one.id,
        "reason": it.why,
        "attempts": told.attempts,
        "next_attempt": day(told.next_attempt),
        "link": told.url,
    }
    return Notice(
        id=f"{one.id}:{trouble.kind}:{told.attempts}",
        workflow="payment_failed",
        account=touched.key,
        event=event.ref,
        facts=facts,
        amount=str(it.left.rounded),
        currency=told.currency.upper(),
    )


# The Account


class Risk(msgspec.Struct, frozen=True):
    """Why an Account is at risk, and what it owes in the currency of the latest trouble."""

    reason: str
    due: Money | None = None
    attempts: int | None = None
    next_attempt: int | None = None


@once
def risk(touched: Touched) -> Risk | None:
    """None for an Account that is not at risk."""
    still = [one for one in owed(touched) if one.open and one.bill.left > 0]
    if still:
        last = still[-1]
        due = money(0, last.bill.currency)
        for one in still:
            if one.bill.currency == last.bill.currency:
                due += one.left
        tries = [one.bill.next_attempt for one in still if one.bill.next_attempt]
        return Risk(last.why, due, last.trouble.attempt, min(tries, default=None))
    statuses = {held.newest.body.status for held in touched.state.subscriptions.by_id.values()}
    return next((Risk(why) for status, why in _UNPAID.items() if status in statuses), None)


def _of_risk(tell: Callable[[Risk], Scalar]) -> Callable[[Touched], Scalar]:
    def told(touched: Touched) -> Scalar:
        found = risk(touched)
        return tell(found) if found else None

    return told


SOURCES: dict[str, Callable[[Touched], Scalar]] = {
    "at_risk": lambda touched: risk(touched) is not None,
    "at_risk_reason": _of_risk(lambda it: it.reason[:255]),
    "amount_due": _of_risk(lambda it: float(it.due.rounded) if it.due else None),
    "attempt_count": _of_risk(lambda it: it.attempts),
    "next_attempt": _of_risk(lambda it: day(it.next_attempt)),
}
