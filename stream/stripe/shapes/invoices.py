"""Invoices and their lines.

docs.stripe.com/api/invoices/object. Before 2018-11-08 there was no `status` but `paid`, `closed` and
`forgiven`; since 2025-03-31.basil what an invoice is for is under `parent` and how it was paid under
`payments` (not expanded in webhooks).
"""

from __future__ import annotations

import msgspec

from stream.stripe.shapes.wire import DecimalText, Expandable, id_of


class InvoiceLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line: `amount` in minor units before tax, over `period_start` to `period_end` (epoch seconds)."""

    id: str
    amount: int
    currency: str | None = None
    description: str | None = None
    quantity: int | None = None
    price: str | None = None
    product: str | None = None
    unit_amount: str | None = None
    subscription: str | None = None
    subscription_item: str | None = None
    proration: bool = False
    period_start: int | None = None
    period_end: int | None = None


class Invoice(msgspec.Struct, frozen=True, omit_defaults=True):
    """A bill. Amounts in minor units, times in epoch seconds. `id` is empty for one only foretold.

    `charges` and `payment_intents` are those that the payload names, which since basil is often none.
    """

    currency: str
    id: str = ""
    status: str = "draft"
    customer: str | None = None
    subscription: str | None = None
    number: str | None = None
    billing_reason: str | None = None
    collection_method: str | None = None
    amount_due: int = 0
    amount_paid: int = 0
    amount_remaining: int = 0
    subtotal: int = 0
    total: int = 0
    tax: int = 0
    amount_off_stripe: int = 0
    pre_payment_credit: int = 0
    post_payment_credit: int = 0
    attempt_count: int = 0
    next_payment_attempt: int | None = None
    created: int | None = None
    due_date: int | None = None
    period_start: int | None = None
    period_end: int | None = None
    finalized_at: int | None = None
    paid_at: int | None = None
    voided_at: int | None = None
    uncollectible_at: int | None = None
    hosted_url: str | None = None
    pdf: str | None = None
    charges: tuple[str, ...] = ()
    payment_intents: tuple[str, ...] = ()
    lines: tuple[InvoiceLine, ...] = ()
    more_lines: bool = False
    metadata: dict[str, str] = {}


class _Period(msgspec.Struct):
    start: int | None = None
    end: int | None = None


class _Details(msgspec.Struct):
    subscription: Expandable = None
    subscription_item: str | None = None
    proration: bool | None = None


class _Parent(msgspec.Struct):
    subscription_details: _Details | None = None
    subscription_item_details: _Details | None = None
    invoice_item_details: _Details | None = None


class _PriceDetails(msgspec.Struct):
    price: Expandable = None
    product: Expandable = None


class _Pricing(msgspec.Struct):
    price_details: _PriceDetails | None = None
    unit_amount_decimal: DecimalText | None = None


class _LinePrice(msgspec.Struct):
    id: str
    product: Expandable = None
    unit_amount_decimal: DecimalText | None = None
    amount_decimal: DecimalText | None = None
    amount: int | None = None


class _Line(msgspec.Struct):
    amount: int
    id: str = ""
    currency: str | None = None
    description: str | None = None
    quantity: int | None = None
    price: _LinePrice | None = None
    plan: _LinePrice | None = None
    pricing: _Pricing | None = None
    parent: _Parent | None = None
    type: str | None = None
    subscription: Expandable = None
    subscription_item: str | None = None
    proration: bool | None = None
    period: _Period | None = None

    def shaped(self) -> InvoiceLine:
        period = self.period or _Period()
        parent = self.parent or _Parent()
        details = parent.subscription_item_details or parent.invoice_item_details or _Details()
        pricing = self.pricing or _Pricing()
        new, old = pricing.price_details, self.price or self.plan
        subscription = id_of(self.subscription) or id_of(details.subscription)
        if subscription is None and self.type == "subscription" and self.id.startswith("sub_"):
            subscription = self.id  # until 2019-12-03 such a line bore the subscription's ID
        amount = pricing.unit_amount_decimal
        if amount is None and old is not None:
            whole = None if old.amount is None else str(old.amount)
            amount = old.unit_amount_decimal or old.amount_decimal or whole
        return InvoiceLine(
            id=self.id,
            amount=self.amount,
            currency=self.currency,
            description=self.description,
            quantity=self.quantity,
            price=id_of(new.price) if new else (old.id if old else None),
            product=id_of(new.product if new else (old.product if old else None)),
            unit_amount=amount,
            subscription=subscription,
            subscription_item=self.subscription_item or details.subscription_item,
            proration=bool(self.proration if self.proration is not None else details.proration),
            period_start=period.start,
            period_end=period.end,
        )


class _Lines(msgspec.Struct):
    data: list[_Line] = []
    has_more: bool = False


class _Payment(msgspec.Struct):
    charge: Expandable = None
    payment_intent: Expandable = None


class _InvoicePayment(msgspec.Struct):
    payment: _Payment | None = None


class _Payments(msgspec.Struct):
    data: list[_InvoicePayment] = []


class _Transitions(msgspec.Struct):
    finalized_at: int | None = None
    paid_at: int | None = None
    voided_at: int | None = None
    marked_uncollectible_at: int | None = None


class _Tax(msgspec.Struct):
    amount: int = 0


class _Invoice(msgspec.Struct):
    currency: str
    id: str | None = None
    status: str | None = None
    paid: bool | None = None
    closed: bool | None = None
    forgiven: bool | None = None
    attempted: bool | None = None
    customer: Expandable = None
    subscription: Expandable = None
    parent: _Parent | None = None
    number: str | None = None
    billing_reason: str | None = None
    collection_method: str | None = None
    billing: str | None = None
    amount_due: int = 0
    amount_paid: int | None = None
    amount_remaining: int | None = None
    subtotal: int = 0
    total: int = 0
    tax: int | None = None
    total_taxes: list[_Tax] | None = None
    paid_out_of_band: bool | None = None
    amount_paid_off_stripe: int | None = None
    pre_payment_credit_notes_amount: int | None = None
    post_payment_credit_notes_amount: int | None = None
    attempt_count: int | None = None
    next_payment_attempt: int | None = None
    created: int | None = None
    date: int | None = None
    due_date: int | None = None
    period_start: int | None = None
    period_end: int | None = None
    finalized_at: int | None = None
    status_transitions: _Transitions | None = None
    hosted_invoice_url: str | None = None
    invoice_pdf: str | None = None
    charge: Expandable = None
    payment_intent: Expandable = None
    payments: _Payments | None = None
    lines: _Lines | None = None
    metadata: dict[str, str] | None = None


_invoice = msgspec.json.Decoder(_Invoice).decode


def invoice(raw: msgspec.Raw | bytes) -> Invoice:
    """An invoice of any API version."""
    wire = _invoice(raw)
    status = wire.status or _old_status(wire)
    moved = wire.status_transitions or _Transitions()
    lines = wire.lines or _Lines()
    shaped = tuple(line.shaped() for line in lines.data)
    payments = [p.payment for p in (wire.payments or _Payments()).data if p.payment]
    paid = wire.amount_paid
    if paid is None:  # came in 2018
        paid = wire.amount_due if status == "paid" else 0
    remaining = wire.amount_remaining
    return Invoice(
        currency=wire.currency,
        id=wire.id or "",
        status=status,
        customer=id_of(wire.customer),
        subscription=_subscription(wire, shaped),
        number=wire.number,
        billing_reason=wire.billing_reason,
        collection_method=wire.collection_method or wire.billing,
        amount_due=wire.amount_due,
        amount_paid=paid,
        amount_remaining=remaining if remaining is not None else max(wire.amount_due - paid, 0),
        subtotal=wire.subtotal,
        total=wire.total,
        tax=wire.tax if wire.tax is not None else sum(tax.amount for tax in wire.total_taxes or ()),
        amount_off_stripe=_off_stripe(wire, paid),
        pre_payment_credit=wire.pre_payment_credit_notes_amount or 0,
        post_payment_credit=wire.post_payment_credit_notes_amount or 0,
        attempt_count=wire.attempt_count or 0,
        next_payment_attempt=wire.next_payment_attempt,
        created=wire.created if wire.created is not None else wire.date,
        due_date=wire.due_date,
        period_start=wire.period_start,
        period_end=wire.period_end,
        finalized_at=moved.finalized_at or wire.finalized_at,
        paid_at=moved.paid_at,
        voided_at=moved.voided_at,
        uncollectible_at=moved.marked_uncollectible_at,
        hosted_url=wire.hosted_invoice_url,
        pdf=wire.invoice_pdf,
        charges=_ids(wire.charge, *(p.charge for p in payments)),
        payment_intents=_ids(wire.payment_intent, *(p.payment_intent for p in payments)),
        lines=shaped,
        more_lines=lines.has_more,
        metadata=wire.metadata or {},
    )


def _off_stripe(wire: _Invoice, paid: int) -> int:
    """What was paid by cheque or transfer. Until 2025-03-31.basil an invoice was so as a whole, or not at all; the
    amount is told since 2026-05-27.dahlia."""
    if wire.amount_paid_off_stripe is not None:
        return wire.amount_paid_off_stripe
    return (paid or wire.amount_due) if wire.paid_out_of_band else 0


def _old_status(wire: _Invoice) -> str:
    if wire.paid:
        return "paid"
    if wire.forgiven:
        return "uncollectible"
    if wire.closed:
        return "void"
    return "open" if wire.attempted else "draft"


def _subscription(wire: _Invoice, lines: tuple[InvoiceLine, ...]) -> str | None:
    if named := id_of(wire.subscription):
        return named
    details = wire.parent.subscription_details if wire.parent else None
    if details is not None:
        return id_of(details.subscription)
    # One that gathers loose items is of no subscription, whatever its lines were once for.
    return None if wire.parent else next((line.subscription for line in lines if line.subscription), None)


def _ids(*values: Expandable) -> tuple[str, ...]:
    return tuple(dict.fromkeys(id_ for value in values if (id_ := id_of(value))))
