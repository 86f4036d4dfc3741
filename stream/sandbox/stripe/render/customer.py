"""Customers and their cards."""

from __future__ import annotations

import msgspec

from stream.sandbox.stripe.objects import Address, Customer, PaymentMethod
from stream.sandbox.stripe.render import catalogue
from stream.sandbox.stripe.render.form import CLOVER, Form, Json, named


def customer(it: Customer, form: Form) -> Json:
    """docs.stripe.com/api/customers/object. A deleted one is told with all that it was."""
    fields: Json = {
        "address": address(it.address),
        "balance": 0,
        "created": it.created,
        "currency": it.currency,
        "default_source": None,
        "delinquent": it.delinquent,
        "description": it.description,
        "discount": catalogue.discount(it.discount, form) if it.discount else None,
        "email": it.email,
        "invoice_prefix": it.invoice_prefix,
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": it.default_payment_method,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": form.livemode,
        "metadata": dict(it.metadata),
        "name": it.name,
        "next_invoice_sequence": 1,
        "phone": it.phone,
        "preferred_locales": list(it.preferred_locales),
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    if it.business_name is not None:
        fields["business_name"] = it.business_name
    return named("customer", it.id, fields)


def gone(id_: str, object_: str) -> Json:
    """What is left of something deleted when it is asked for."""
    return {"id": id_, "object": object_, "deleted": True}


def address(it: Address | None) -> Json | None:
    """An address, its parts by name."""
    return dict(sorted(msgspec.structs.asdict(it).items())) if it else None


def blank_address(it: Address | None) -> Json:
    """An address where Stripe never leaves it out."""
    return dict(sorted(msgspec.structs.asdict(it or Address()).items()))


def payment_method(it: PaymentMethod, form: Form) -> Json:
    """docs.stripe.com/api/payment_methods/object, of a card."""
    card: Json = {
        "brand": it.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": it.country,
        "display_brand": it.brand,
        "exp_month": it.exp_month,
        "exp_year": it.exp_year,
        "fingerprint": it.fingerprint,
        "funding": "credit",
        "generated_from": None,
        "last4": it.last4,
        "networks": {"available": [it.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }
    fields: Json = {
        "allow_redisplay": "unspecified",
        "billing_details": {
            "address": blank_address(None),
            "email": None,
            "name": None,
            "phone": None,
            "tax_id": None,
        },
        "card": card,
        "created": it.created,
        "customer": it.customer,
        "livemode": form.livemode,
        "metadata": {},
        "type": "card",
    }
    if form.version >= CLOVER:
        fields["customer_account"] = None
    return named("payment_method", it.id, fields)
