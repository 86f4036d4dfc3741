"""The family of an event type, for metrics: the first part or parts of its name, from a closed list."""

from __future__ import annotations

from functools import lru_cache

OTHER = "other"

# What billing and its customers are made of; the rest of Stripe's 300 types counts as `other`.
FAMILIES = frozenset(
    {
        "account",
        "billing",
        "charge",
        "charge.dispute",
        "checkout.session",
        "coupon",
        "credit_note",
        "customer",
        "customer.discount",
        "customer.source",
        "customer.subscription",
        "customer.tax_id",
        "entitlements",
        "invoice",
        "invoice_payment",
        "invoiceitem",
        "payment_intent",
        "payment_method",
        "payout",
        "plan",
        "price",
        "product",
        "promotion_code",
        "quote",
        "refund",
        "setup_intent",
        "subscription_schedule",
        OTHER,
    }
)


@lru_cache(maxsize=1024)
def family(type_: str) -> str:
    """`customer.subscription` of `customer.subscription.updated`: the longest beginning that is listed."""
    parts = type_.split(".")
    for count in (2, 1):
        beginning = ".".join(parts[:count])
        if len(parts) > count and beginning in FAMILIES:
            return beginning
    return OTHER
