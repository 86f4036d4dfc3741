"""Money moves: charges, their refunds and disputes (docs.stripe.com/payments/paymentintents/lifecycle)."""

from __future__ import annotations

import msgspec

from stream.sandbox.stripe.life import DAY, Life
from stream.sandbox.stripe.objects import (
    Charge,
    Customer,
    Dispute,
    FraudWarning,
    Invoice,
    InvoicePayment,
    PaymentIntent,
    PaymentMethod,
    Refund,
)

# docs.stripe.com/declines/codes, the common ones.
DECLINES = ("insufficient_funds", "generic_decline", "expired_card", "do_not_honor", "lost_card")


def intend(life: Life, invoice: Invoice) -> PaymentIntent:
    """`payment_intent.created` for an invoice that is to be paid."""
    book = life.book
    intent = book.new_id("pi_3")
    return book.add(
        PaymentIntent(
            id=intent,
            created=life.now,
            account=book.account,
            customer=invoice.customer,
            invoice=invoice.id,
            amount=invoice.amount_due,
            currency=invoice.currency,
            payment_method=life.customer.default_payment_method,
            secret=book.new_id(f"{intent}_secret_", 25),
            status="requires_confirmation",
        ),
        "payment_intent.created",
    )


def take(life: Life, invoice: Invoice, *, succeeds: bool) -> Charge:
    """One attempt to charge the customer's card for what an invoice still comes to."""
    book, customer = life.book, life.customer
    intent = book.get(str(invoice.payment_intent), PaymentIntent)
    intent = msgspec.structs.replace(intent, amount=invoice.amount_due)
    card = book.get(str(customer.default_payment_method), PaymentMethod)
    charge = charged(life, intent, card, customer, None if succeeds else life.rng.choice(DECLINES))
    if succeeds:
        book.add(charge, "charge.succeeded")
        book.change(
            intent,
            life.tick(),
            "payment_intent.succeeded",
            status="succeeded",
            latest_charge=charge.id,
            payment_method=card.id,
            decline_code=None,
        )
        _link(life, invoice, intent)
    else:
        book.add(charge, "charge.failed")
        book.change(
            intent,
            life.tick(),
            "payment_intent.payment_failed",
            status="requires_payment_method",
            latest_charge=charge.id,
            payment_method=None,
            decline_code=charge.decline_code,
        )
    return charge


def guest(life: Life, amount: int, currency: str) -> None:
    """Somebody pays once who is no customer: nothing of it names one."""
    book, rng = life.book, life.rng
    book.called()
    card = PaymentMethod(
        id=book.new_id("pm_1"),
        created=life.now,
        account=book.account,
        customer=None,
        brand="visa",
        last4=f"{rng.randint(0, 9999):04d}",
        exp_month=rng.randint(1, 12),
        exp_year=2029,
        country=life.identity.country.code,
        fingerprint=book.new_id("", 16),
    )
    intent = order(life, amount, card.id, currency)
    charge = book.add(charged(life, intent, card, None, None), "charge.succeeded")
    book.change(intent, life.tick(), "payment_intent.succeeded", status="succeeded", latest_charge=charge.id)


def order(life: Life, amount: int, card: str, currency: str | None = None) -> PaymentIntent:
    """`payment_intent.created` of a single payment: by the customer, or with `currency` by a guest."""
    book = life.book
    id_ = book.new_id("pi_3")
    return book.add(
        PaymentIntent(
            id=id_,
            created=life.now,
            account=book.account,
            customer=None if currency else life.customer.id,
            invoice=None,
            amount=amount,
            currency=currency or life.customer.currency or life.identity.country.currency,
            payment_method=card,
            secret=book.new_id(f"{id_}_secret_", 25),
        ),
        "payment_intent.created",
    )


def refund(life: Life, charge: Charge, amount: int) -> None:
    """Gives all or a part of a charge back."""
    life.begin()
    life.book.called()
    give_back(life, charge, amount)
    life.moved("refunded", charge.id)


def refund_of(life: Life, charge: Charge, amount: int) -> Refund:
    """One that begins now."""
    return Refund(
        id=life.book.new_id("re_3"),
        created=life.now,
        account=life.book.account,
        charge=charge.id,
        payment_intent=charge.payment_intent,
        customer=charge.customer,
        amount=amount,
        currency=charge.currency,
    )


def give_back(life: Life, charge: Charge, amount: int) -> Refund:
    """`charge.refunded` and `refund.created`."""
    book = life.book
    reasons = (None, "requested_by_customer", "duplicate")
    given = msgspec.structs.replace(refund_of(life, charge, amount), reason=life.rng.choice(reasons))
    charge = book.change(charge, life.now, "charge.refunded", refunds=(*charge.refunds, given))
    book.add(given, "refund.created")
    if not charge.left:
        _end_warnings(life, charge)
    return given


def contest(life: Life, charge: Charge) -> None:
    """The card's holder contests a charge; the bank decides weeks later."""
    book = life.book
    life.begin()
    book.automatic()
    dispute = book.add(
        Dispute(
            id=book.new_id("du_1"),
            created=life.now,
            account=book.account,
            charge=charge.id,
            payment_intent=charge.payment_intent,
            amount=charge.left,
            currency=charge.currency,
            reason=life.rng.choice(("fraudulent", "product_not_received", "subscription_canceled")),
            due_by=life.now + 9 * DAY,
        ),
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
    )
    book.change(charge, life.now, "charge.updated", dispute=dispute.id)
    _end_warnings(life, charge)
    life.moved("disputed", charge.id)
    life.at(life.now + life.rng.randint(6, 20) * DAY, lambda: _decide(life, dispute))


def _decide(life: Life, dispute: Dispute) -> None:
    life.begin()
    won = life.chance(0.4)
    if won:
        reinstated = ("charge.dispute.closed", "charge.dispute.funds_reinstated")
        life.book.change(dispute, life.now, *reinstated, status="won", funds_withdrawn=False)
    else:
        life.book.change(dispute, life.now, "charge.dispute.closed", status="lost")
    life.moved("dispute-won" if won else "dispute-lost", dispute.charge)


def _end_warnings(life: Life, charge: Charge) -> None:
    """A warning can be acted upon as long as the charge is neither given back whole nor contested."""
    for it in list(life.book.things.values()):
        if isinstance(it, FraudWarning) and it.charge == charge.id and it.actionable:
            life.book.change(it, life.now, "radar.early_fraud_warning.updated", actionable=False)


def charged(
    life: Life, intent: PaymentIntent, card: PaymentMethod, customer: Customer | None, decline: str | None
) -> Charge:
    """A charge bears the payer's details as they are right now."""
    who = customer or Customer(id="", created=0)
    return Charge(
        id=life.book.new_id("ch_3"),
        created=life.now,
        account=life.book.account,
        customer=intent.customer,
        invoice=intent.invoice,
        payment_intent=intent.id,
        payment_method=card,
        amount=intent.amount,
        currency=intent.currency,
        name=who.name,
        email=who.email,
        phone=who.phone,
        address=who.address,
        status="failed" if decline else "succeeded",
        decline_code=decline,
    )


def _link(life: Life, invoice: Invoice, intent: PaymentIntent) -> None:
    """Since 2025-03-31.basil an invoice no longer names its payment; this event does."""
    payment = InvoicePayment(
        id=life.book.new_id("inpay_1"),
        created=intent.created,
        account=life.book.account,
        invoice=invoice.id,
        payment_intent=intent.id,
        amount=intent.amount,
        currency=intent.currency,
        paid_at=life.now,
    )
    life.book.things[payment.id] = payment
    if life.book.version_at(life.now) >= "2025-03-31":
        life.book.tell("invoice_payment.paid", msgspec.structs.replace(payment), life.now)
