"""What an Account says of the customer's money, and what of that cannot be right.

Amounts of different currencies are never added. An Account's amount is of the customer's own currency, or, as long
as Stripe names none, of the last payment's; `lifetime_values` has all currencies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from agents.activities import day
from agents.events import CHARGE, MONEY, REFUNDS, Event
from agents.pricing import Money
from agents.touched import Refusal, Touched, once
from stream.records import Scalar
from tables.lifetime import lifetime_value, refunded
from tables.payments import Payments

# docs.stripe.com/currencies. How many decimals an unknown one has is not known, so nothing is told of its amounts.
CURRENCIES = frozenset(Path(__file__).with_name("currencies.txt").read_text().split())


class Paid(msgspec.Struct, frozen=True, order=True):
    """A payment: when (epoch seconds), the charge or invoice, and how much."""

    at: int
    id: str
    minor: int
    currency: str


def money(minor: int, currency: str) -> Money:
    """An amount in Stripe's minor units."""
    return Money(minor, currency)


def known(currency: str) -> bool:
    """Whether it is a currency that Stripe documents."""
    return currency in CURRENCIES


def of(touched: Touched) -> Payments:
    """What is remembered of the customer's money."""
    return touched.state.mapping.payments


def project(touched: Touched) -> Iterable[Refusal]:
    """Events of which no amount can be told, or whose amounts cannot be true."""
    for event in touched.about(*MONEY):
        currency: str | None = getattr(event.object, "currency", None)
        if currency is not None and not known(currency):
            yield Refusal(
                event,
                "currency_unknown",
                f"{event.ref.type} about {event.object.id} is in `{currency}`, which is no currency that Stripe "
                "documents, so its decimals are not known. Its amounts are left out; send it again after an "
                "update of Revstream.",
            )
        elif refusal := _overdrawn(touched, event):
            yield refusal


def _overdrawn(touched: Touched, event: Event) -> Refusal | None:
    if event.family == CHARGE:
        id_ = event.object.id
    elif event.family in REFUNDS:
        id_ = event.object.charge
    else:
        return None
    charge = of(touched).charges.get(id_ or "")
    if charge is None:
        return None
    given = refunded(of(touched), id_)
    # Its capture may come after its refund.
    most = charge.taken or (0 if charge.status == "failed" else charge.amount)
    if given <= most:
        return None
    return Refusal(
        event,
        "refund_exceeds_charge",
        f"Refunds of charge {id_} come to {money(given, charge.currency).text}, but it took only "
        f"{money(most, charge.currency).text}. They are counted up to that; look at the charge in Stripe.",
    )


# The Account


@once
def lifetime(touched: Touched) -> dict[str, Money]:
    """Lifetime value by currency."""
    sums = lifetime_value(of(touched))
    return {currency: money(minor, currency) for currency, minor in sorted(sums.items()) if known(currency)}


@once
def last(touched: Touched) -> Paid | None:
    """The newest payment: a charge that took something, or an invoice that was paid outside of Stripe."""
    held = of(touched)
    paid = [
        Paid(told.body.created, id_, told.body.taken, told.body.currency)
        for id_, told in held.charges.by_id.items()
        if told.body.taken
    ]
    paid += (
        Paid(told.body.ended_at or told.body.created, id_, told.body.off_stripe, told.body.currency)
        for id_, told in held.invoices.by_id.items()
        if told.body.off_stripe
    )
    return max((one for one in paid if known(one.currency)), default=None)


def _own(touched: Touched) -> str | None:
    customer = touched.state.mapping.customer
    currency = customer.newest.body.currency if customer else None
    if currency is None and (newest := last(touched)):
        return newest.currency
    return currency


def _lifetime_value(touched: Touched) -> float:
    own = _own(touched)
    value = lifetime(touched).get(own) if own else None
    return float(value.rounded) if value else 0.0


def _of_last(tell: Callable[[Paid], Scalar]) -> Callable[[Touched], Scalar]:
    def told(touched: Touched) -> Scalar:
        newest = last(touched)
        return tell(newest) if newest else None

    return told


SOURCES: dict[str, Callable[[Touched], Scalar]] = {
    "lifetime_value": _lifetime_value,
    "lifetime_values": lambda touched: (
        "; ".join(value.text for value in lifetime(touched).values())[:255] or None
    ),
    "last_payment_amount": _of_last(lambda paid: float(money(paid.minor, paid.currency).rounded)),
    "last_payment_currency": _of_last(lambda paid: paid.currency.upper()),
    "last_payment_date": _of_last(lambda paid: day(paid.at)),
}
