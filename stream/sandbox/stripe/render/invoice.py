"""Invoices, their lines, their credit notes, and the link to their payment."""

from __future__ import annotations

from collections import Counter

from stream.sandbox.stripe.objects import CreditNote, Invoice, InvoicePayment, Line
from stream.sandbox.stripe.render import catalogue
from stream.sandbox.stripe.render.customer import address
from stream.sandbox.stripe.render.form import BASIL, CLOVER, DAHLIA, Form, Json, listed, named

# The account's own ID, where an address names it.
OWN_ACCOUNT = "acct_1RevstreamOwn"


def invoice(it: Invoice, form: Form) -> Json:
    """docs.stripe.com/api/invoices/object.

    Since 2025-03-31.basil its subscription stands under `parent`, its lines name their price under `pricing`,
    and its payment is told by `invoice_payment.paid` only.
    """
    taken: Counter[str] = Counter()
    for line in it.lines:
        for discount, amount in line.discounts:
            taken[discount] += amount
    page = f"{it.account or OWN_ACCOUNT}/test_{it.token}" if it.token else None
    fields: Json = {
        "account_country": "US",
        "account_name": "Example Company, Inc.",
        "account_tax_ids": None,
        "amount_due": it.amount_due,
        "amount_overpaid": 0,
        "amount_paid": it.amount_paid,
        "amount_remaining": it.amount_due - it.amount_paid,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": it.attempt_count,
        "attempted": it.attempt_count > 0 or it.status == "paid",
        "auto_advance": it.auto_advance and it.status in ("draft", "open"),
        "automatic_tax": {
            "disabled_reason": None, "enabled": False, "liability": None, "provider": None, "status": None,
        },
        "automatically_finalizes_at": it.next_payment_attempt if it.status == "draft" and it.id else None,
        "billing_reason": it.billing_reason,
        "collection_method": "charge_automatically" if it.days_until_due is None else "send_invoice",
        "created": it.created,
        "currency": it.currency,
        "custom_fields": None,
        "customer": it.customer,
        "customer_address": address(it.customer_address),
        "customer_email": it.customer_email,
        "customer_name": it.customer_name,
        "customer_phone": it.customer_phone,
        "customer_shipping": None,
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [discount.id for discount in it.discounts],
        "due_date": it.due_date,
        "effective_at": it.finalized_at,
        "ending_balance": None if it.finalized_at is None else 0,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": f"https://invoice.stripe.com/i/{page}?s=ap" if page else None,
        "invoice_pdf": f"https://pay.stripe.com/invoice/{page}/pdf?s=ap" if page else None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": listed(
            [_line(line, it, form) for line in it.lines],
            f"/v1/invoices/{it.id}/lines" if it.id
            else f"/v1/invoices/upcoming/lines?customer={it.customer}&subscription={it.subscription}",
        ),
        "livemode": form.livemode,
        "metadata": {},
        "next_payment_attempt": it.next_payment_attempt,
        "number": it.number,
        "on_behalf_of": None,
        "payment_settings": {
            "default_mandate": None, "payment_method_options": None, "payment_method_types": None,
        },
        "period_end": it.period_end,
        "period_start": it.period_start,
        "post_payment_credit_notes_amount": it.credited_after,
        "pre_payment_credit_notes_amount": it.credited_before,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": it.status,
        "status_transitions": {
            "finalized_at": it.finalized_at,
            "marked_uncollectible_at": it.uncollectible_at,
            "paid_at": it.paid_at,
            "voided_at": it.voided_at,
        },
        "subtotal": it.subtotal,
        "subtotal_excluding_tax": it.subtotal,
        "test_clock": None,
        "total": it.total,
        "total_discount_amounts": [
            {"amount": taken[discount.id], "discount": discount.id} for discount in it.discounts
        ],
        "total_excluding_tax": it.total,
        "total_pretax_credit_amounts": [],
        "webhooks_delivered_at": None if it.finalized_at is None else it.created,
    }  # fmt: skip
    fields |= _until_basil(it, form) if form.version < BASIL else _since_basil(it)
    if form.version >= CLOVER:
        fields["customer_account"] = None
    if form.version >= DAHLIA:
        fields["amount_paid_off_stripe"] = it.off_stripe
    return named("invoice", it.id, fields)


def _until_basil(it: Invoice, form: Form) -> Json:
    return {
        "application_fee_amount": None,
        "charge": it.charge,
        "discount": catalogue.discount(it.discounts[0], form) if it.discounts else None,
        "paid": it.status == "paid",
        "paid_out_of_band": it.off_stripe > 0,
        "payment_intent": it.payment_intent,
        "quote": None,
        "subscription": it.subscription,
        "subscription_details": {"metadata": {}},
        "tax": None,
        "total_tax_amounts": [],
        "transfer_data": None,
    }


def _since_basil(it: Invoice) -> Json:
    return {
        "parent": {
            "quote_details": None,
            "subscription_details": {"metadata": {}, "subscription": it.subscription},
            "type": "subscription_details",
        },
        "total_taxes": [],
    }


def _line(line: Line, it: Invoice, form: Form) -> Json:
    fields: Json = {
        "amount": line.amount,
        "currency": it.currency,
        "description": line.description,
        "discount_amounts": [{"amount": amount, "discount": id_} for id_, amount in line.discounts],
        "discountable": not line.proration,
        "discounts": [],
        "invoice": it.id or None,
        "livemode": form.livemode,
        "metadata": {},
        "period": {"end": line.end, "start": line.start},
        "pretax_credit_amounts": [],
        "quantity": line.quantity,
        "subscription": it.subscription,
    }
    fields |= _line_until_basil(line, form) if form.version < BASIL else _line_since_basil(line, it)
    if form.version >= DAHLIA:
        fields["quantity_decimal"] = None if line.quantity is None else str(line.quantity)
        fields["subtotal"] = line.amount
    return named("line_item", line.id, fields)


def _line_until_basil(line: Line, form: Form) -> Json:
    fields: Json = {
        "amount_excluding_tax": line.amount,
        "plan": catalogue.plan(line.price, form),
        "price": catalogue.price(line.price, form),
        "proration": line.proration,
        "proration_details": {"credited_items": None},
        "subscription_item": line.item,
        "tax_amounts": [],
        "tax_rates": [],
        "type": "invoiceitem" if line.proration else "subscription",
        "unit_amount_excluding_tax": line.price.unit_amount,
    }
    if line.proration:
        fields["invoice_item"] = _invoice_item(line)
    return fields


def _line_since_basil(line: Line, it: Invoice) -> Json:
    """In classic billing mode, which this is, a proration is an invoice item; else the line is of the item."""
    if line.proration:
        parent: Json = {
            "invoice_item_details": {
                "invoice_item": _invoice_item(line),
                "proration": True,
                "proration_details": {"credited_items": None},
                "subscription": it.subscription,
            },
            "subscription_item_details": None,
            "type": "invoice_item_details",
        }
    else:
        parent = {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": it.subscription,
                "subscription_item": line.item,
            },
            "type": "subscription_item_details",
        }
    return {
        "parent": parent,
        "pricing": {
            "price_details": {"price": line.price.id, "product": line.price.product},
            "type": "price_details",
            "unit_amount_decimal": line.price.unit_amount,
        },
        "taxes": [],
    }


def _invoice_item(line: Line) -> str:
    """A proration's invoice item has an ID of its own; nothing else here names it."""
    return f"ii_{line.id.partition('_')[2]}"


def payment(it: InvoicePayment, form: Form) -> Json:
    """docs.stripe.com/api/invoice-payment/object; it exists since 2025-03-31.basil."""
    fields: Json = {
        "amount_paid": it.amount,
        "amount_requested": it.amount,
        "created": it.created,
        "currency": it.currency,
        "invoice": it.invoice,
        "is_default": True,
        "livemode": form.livemode,
        "payment": {"payment_intent": it.payment_intent, "type": "payment_intent"},
        "status": "paid",
        "status_transitions": {"canceled_at": None, "paid_at": it.paid_at},
    }
    return named("invoice_payment", it.id, fields)


def credit_note(it: CreditNote, form: Form) -> Json:
    """docs.stripe.com/api/credit_notes/object. Until basil it had one refund, since then a list."""
    fields: Json = {
        "amount": it.amount,
        "amount_shipping": 0,
        "created": it.created,
        "currency": it.currency,
        "customer": it.customer,
        "customer_balance_transaction": None,
        "discount_amount": 0,
        "discount_amounts": [],
        "effective_at": it.created,
        "invoice": it.invoice,
        "lines": listed([], f"/v1/credit_notes/{it.id}/lines"),
        "livemode": form.livemode,
        "memo": None,
        "metadata": {},
        "number": it.number,
        "out_of_band_amount": it.out_of_band or None,
        "pdf": f"https://pay.stripe.com/credit_notes/{it.account or OWN_ACCOUNT}/{it.id}/pdf?s=ap",
        "post_payment_amount": it.post_payment,
        "pre_payment_amount": it.pre_payment,
        "reason": it.reason,
        "shipping_cost": None,
        "status": it.status,
        "subtotal": it.amount,
        "subtotal_excluding_tax": it.amount,
        "total": it.amount,
        "total_excluding_tax": it.amount,
        "type": "post_payment" if it.post_payment else "pre_payment",
        "voided_at": it.voided_at,
    }
    if form.version < BASIL:
        fields |= {"refund": it.refund, "tax_amounts": []}
    else:
        part = {"amount_refunded": it.post_payment, "refund": it.refund, "type": "refund"}
        fields |= {"refunds": [part] if it.refund else [], "total_taxes": []}
    if form.version >= CLOVER:
        fields["customer_account"] = None
    return named("credit_note", it.id, fields)
