"""Money that is authorised first and captured later: all of it, a part, or nothing
(docs.stripe.com/payments/place-a-hold-on-a-payment-method)."""

from __future__ import annotations

import msgspec

from stream.sandbox.stripe import payments
from stream.sandbox.stripe.life import DAY, HOUR, Life
from stream.sandbox.stripe.objects import Charge, PaymentIntent, PaymentMethod, Refund
from stream.sandbox.stripe.render.form import BASIL

# An authorisation on a card lapses after so many days.
LAPSES = 7


def hold(life: Life, amount: int) -> None:
    """The customer orders something: its price is authorised, and captured when it is sent."""
    book, customer = life.book, life.customer
    life.begin()
    book.called()
    card = book.get(str(customer.default_payment_method), PaymentMethod)
    intent = payments.order(life, amount, card.id)
    charge = payments.charged(life, intent, card, customer, None)
    charge = book.add(msgspec.structs.replace(charge, amount_captured=0), "charge.succeeded")
    book.change(
        intent,
        life.now,
        "payment_intent.amount_capturable_updated",
        status="requires_capture",
        latest_charge=charge.id,
    )
    life.moved("authorised", charge.id)
    sent = life.chance(0.85)
    when = life.now + (life.rng.randint(2, 100) * HOUR if sent else LAPSES * DAY)
    part = amount if life.chance(0.4) else amount * life.rng.randint(3, 9) // 10
    life.at(
        when, lambda: _capture(life, charge, intent.id, part) if sent else _lapse(life, charge, intent.id)
    )


def _capture(life: Life, charge: Charge, intent: str, amount: int) -> None:
    book = life.book
    life.begin()
    book.called()
    charge = book.change(
        charge,
        life.now,
        "charge.captured",
        amount_captured=amount,
        refunds=_reversal(life, charge, charge.amount - amount),
    )
    _tell_reversal(life, charge)
    book.change(
        book.get(intent, PaymentIntent),
        life.now,
        "payment_intent.succeeded",
        status="succeeded",
        captured=amount,
    )
    life.moved("captured", charge.id)


def _lapse(life: Life, charge: Charge, intent: str) -> None:
    book = life.book
    life.begin()
    charge = book.change(charge, life.now, "charge.expired", refunds=_reversal(life, charge, charge.amount))
    _tell_reversal(life, charge)
    book.change(book.get(intent, PaymentIntent), life.now, "payment_intent.canceled", status="canceled")
    life.moved("lapsed", charge.id)


def _reversal(life: Life, charge: Charge, amount: int) -> tuple[Refund, ...]:
    """Until basil what was not captured was given back by a refund (changelog, "Partially capturing or canceling
    payments no longer creates a Refund")."""
    if not amount or life.book.version_at(life.now) >= BASIL:
        return ()
    return (msgspec.structs.replace(payments.refund_of(life, charge, amount), reversal=True),)


def _tell_reversal(life: Life, charge: Charge) -> None:
    for refund in charge.refunds:
        life.book.tell("charge.refunded", charge, life.now)
        life.book.things[refund.id] = refund
