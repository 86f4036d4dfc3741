"""What an Account, its Tasks and its Cases say of money, by the simulator's truth.

Lifetime value is what the charges took, less refunds and lost disputes, as the simulated bank account would tell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction

import msgspec

from stream.sandbox.expected.customers import Record
from stream.sandbox.expected.subscriptions import date, money, pricing_decimals
from stream.sandbox.stripe.book import StripeEvent
from stream.sandbox.stripe.objects import (
    Charge,
    CreditNote,
    Customer,
    Dispute,
    FraudWarning,
    Invoice,
    Refund,
    Subscription,
    Thing,
    key_of,
)
from stream.sandbox.stripe.world import World

DAY = 86_400
FAILURES = ("invoice.payment_failed", "invoice.payment_action_required", "invoice.overdue")
_WORDS = {"open": "is open", "paid": "is paid", "void": "was voided", "uncollectible": "was written off"}


class Purse(msgspec.Struct):
    """All of one customer's money. `failures` are the last that kept an invoice from being paid, or that it was
    overdue: when, and after how many attempts."""

    invoices: list[Invoice] = []
    charges: list[Charge] = []
    disputes: list[Dispute] = []
    notes: list[CreditNote] = []
    warnings: list[tuple[FraudWarning, Charge]] = []
    subscriptions: list[Subscription] = []
    failures: dict[str, tuple[int, int]] = {}


def purses(world: World) -> dict[str, Purse]:
    """By the customers' routing keys."""
    found: dict[str, Purse] = defaultdict(Purse)
    for thing in world.things.values():
        owner = customer_of(thing, world)
        if owner is None:
            continue
        purse = found[owner]
        match thing:
            case Invoice():
                purse.invoices.append(thing)
            case Charge():
                purse.charges.append(thing)
            case Dispute():
                purse.disputes.append(thing)
            case CreditNote():
                purse.notes.append(thing)
            case FraudWarning():
                charge = world.things[key_of(thing.account, thing.charge)]
                assert isinstance(charge, Charge)  # noqa: S101
                purse.warnings.append((thing, charge))
            case Subscription():
                purse.subscriptions.append(thing)
    for event in world.events:
        if event.type in FAILURES and isinstance(event.thing, Invoice):
            owner = key_of(event.account, event.thing.customer)
            found[owner].failures[event.thing.id] = (event.created, event.thing.attempt_count)
    return found


def customer_of(thing: Thing, world: World) -> str | None:
    """The routing key of the customer whom a thing is about; None for a guest's, and for the catalogue."""
    match thing:
        case Dispute() | Refund() | FraudWarning():
            return customer_of(world.things[key_of(thing.account, thing.charge)], world)
        case Invoice() | Charge() | Subscription() | CreditNote():
            return key_of(thing.account, thing.customer) if thing.customer else None
    return None


def concerns(event: StripeEvent, world: World) -> bool:
    """Whether an event tells of a customer's money: then some record has to come of it."""
    kinds = (Invoice, Charge, Refund, Dispute, FraudWarning, CreditNote)
    foretold = event.type == "invoice.upcoming"
    return isinstance(event.thing, kinds) and not foretold and customer_of(event.thing, world) is not None


# The Account


def account(customer: Customer, purse: Purse) -> Record:
    """What the Account says of money."""
    took = [it for it in purse.charges if it.taken]
    values: dict[str, int] = defaultdict(int)
    for charge in took:
        values[charge.currency] += charge.taken - charge.given_back
    for dispute in purse.disputes:
        if dispute.status == "lost":
            values[dispute.currency] -= dispute.amount
    cheques = [it for it in purse.invoices if it.off_stripe]
    for invoice in cheques:
        values[invoice.currency] += invoice.off_stripe
    for note in purse.notes:
        # Others give nothing back, perhaps of nothing that was ever paid.
        if note.out_of_band and note.status == "issued":
            values[note.currency] -= note.out_of_band
    paid = [(it.created, it.id, it.taken, it.currency) for it in took]
    paid += [(it.paid_at or 0, it.id, it.off_stripe, it.currency) for it in cheques]
    at, _, amount, currency = max(paid, default=(0, "", 0, "usd"))
    own = customer.currency or currency
    return {
        "Stripe_Lifetime_Value__c": money(Fraction(values.get(own, 0)), own),
        "Stripe_Lifetime_Values__c": "; ".join(text(values[it], it) for it in sorted(values)) or None,
        "Stripe_Last_Payment_Date__c": date(at) if paid else None,
        "Stripe_Last_Payment_Amount__c": money(Fraction(amount), currency) if paid else None,
        **_risk(purse),
    }


def _risk(purse: Purse) -> Record:
    owed = [it for it in purse.invoices if it.status == "open" and it.id in purse.failures]
    last = max(owed, key=lambda it: (purse.failures[it.id][0], it.id), default=None)
    behind = any(it.status in ("past_due", "unpaid") for it in purse.subscriptions)
    due = attempts = tries = None
    if last is not None:
        left = sum(it.amount_due - it.amount_paid for it in owed if it.currency == last.currency)
        due, attempts = money(Fraction(left), last.currency), purse.failures[last.id][1]
        tries = min((it.next_payment_attempt for it in owed if it.next_payment_attempt), default=None)
    return {
        "Stripe_At_Risk__c": last is not None or behind,
        "Stripe_Amount_Due__c": due,
        "Stripe_Attempt_Count__c": attempts,
        "Stripe_Next_Attempt__c": date(tries) if tries else None,
    }


# Tasks and Cases


def tasks(found: Iterable[Purse]) -> dict[str, Record]:
    """By Stripe ID: one for each invoice that is a document, each charge, and each invoice that was in trouble."""
    told: dict[str, Record] = {}
    for purse in found:
        for invoice in purse.invoices:
            if invoice.status != "draft":
                told[invoice.id] = _invoice(invoice)
            if invoice.id in purse.failures:
                told[f"{invoice.id}:payment"] = _chase(invoice, purse.failures[invoice.id][0])
        told |= {charge.id: _charge(charge) for charge in purse.charges}
    return told


def _invoice(it: Invoice) -> Record:
    at = it.paid_at or it.voided_at or it.uncollectible_at or it.finalized_at or it.created
    subject = f"Invoice {it.number} {_WORDS[it.status]}: {text(it.amount_due, it.currency)}"
    return {"Subject": subject, "Status": "Completed", "Priority": "Normal", "ActivityDate": date(at)}


def _charge(it: Charge) -> Record:
    return {"Status": "Completed", "Priority": "Normal", "ActivityDate": date(it.created)}


def _chase(it: Invoice, at: int) -> Record:
    status = "Not Started" if it.status == "open" else "Completed"
    return {"Status": status, "Priority": "High", "ActivityDate": date(at + DAY)}


def cases(found: Iterable[Purse]) -> dict[str, Record]:
    """By Stripe ID: one for each dispute, and for each early fraud warning."""
    ended: dict[str, bool] = {}
    for purse in found:
        ended |= {it.id: it.status in ("won", "lost") for it in purse.disputes}
        ended |= {it.id: not it.actionable or not charge.left for it, charge in purse.warnings}
    return {
        id_: {"Status": "Closed" if over else "New", "Priority": "Medium" if over else "High"}
        for id_, over in ended.items()
    }


def text(minor: int, currency: str) -> str:
    """An amount as people read it: `1,200.50 EUR`."""
    places = pricing_decimals(currency)
    return f"{money(Fraction(minor), currency):,.{places}f} {currency.upper()}"
