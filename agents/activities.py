"""What an activity says: an invoice, a payment, something to do about either, as a Task or another record.

An activity is one record in Salesforce by its ID in Stripe, whose fields the mapping fills from `SOURCES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from agents.events import Event
from agents.pricing import Money
from agents.touched import Touched
from stream.records import Reference, Scalar, Write
from stream.settings import CUSTOMER_ID_FIELD, STRIPE_ID_FIELD

TASK = "Task"
# Instead of a Task, where the mapping has these objects.
INVOICE, CHARGE = "Stripe_Invoice__c", "Stripe_Charge__c"
OBJECTS = (TASK, INVOICE, CHARGE)

# Salesforce's longest, and the years that a date of its can have (1700 to 4000; Stripe's times begin in 1970).
SUBJECT = 255
LAST_DATE = int(datetime(4000, 1, 1, tzinfo=UTC).timestamp())


class Activity(msgspec.Struct, frozen=True):
    """One activity. Times in epoch seconds; `at` is when it was, or is to be done. `stripe_status` is Stripe's
    word, `lines` what is to be read about it."""

    id: str
    subject: str
    at: int | None
    lines: tuple[str, ...] = ()
    open: bool = False
    high: bool = False
    amount: Money | None = None
    paid: Money | None = None
    number: str | None = None
    stripe_status: str | None = None
    period_start: int | None = None
    period_end: int | None = None
    page: str | None = None


def day(at: int | None) -> str | None:
    """A date (UTC) as Salesforce takes it; None also for one that it cannot hold."""
    return datetime.fromtimestamp(at, UTC).date().isoformat() if at and 0 < at < LAST_DATE else None


def _number(money: Money | None) -> float | None:
    return None if money is None else float(money.rounded)


SOURCES: dict[str, Callable[[Activity, Touched], Scalar]] = {
    "stripe_id": lambda it, _: it.id,
    "subject": lambda it, _: it.subject[:SUBJECT],
    "status": lambda it, touched: (
        touched.settings.activities.open_status if it.open else touched.settings.activities.closed_status
    ),
    "priority": lambda it, _: "High" if it.high else "Normal",
    "date": lambda it, _: day(it.at),
    "description": lambda it, _: "\n".join(it.lines) or None,
    "amount": lambda it, _: _number(it.amount),
    "amount_paid": lambda it, _: _number(it.paid),
    "currency": lambda it, _: it.amount.currency.upper() if it.amount else None,
    "number": lambda it, _: it.number,
    "stripe_status": lambda it, _: it.stripe_status,
    "period_start": lambda it, _: day(it.period_start),
    "period_end": lambda it, _: day(it.period_end),
    "page": lambda it, _: it.page,
}


def write(
    touched: Touched, it: Activity, events: Sequence[Event], version: int, object_: str = TASK
) -> Write:
    """The activity as a record of the customer's Account. `version` as for Write."""
    parent = "What" if object_ == TASK else "Account__r"
    return Write(
        object=object_,
        external_id_field=STRIPE_ID_FIELD,
        external_id=it.id,
        account=touched.key,
        version=version,
        fields={
            field: SOURCES[source](it, touched)
            for field, source in touched.settings.fields_of(object_).items()
        },
        events=tuple(event.ref for event in events),
        parents={parent: Reference("Account", CUSTOMER_ID_FIELD, touched.key)},
    )
