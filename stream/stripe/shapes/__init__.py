"""Stripe's objects in one frozen shape each, whatever the API version they were rendered in.

Unknown fields and unknown values of enums pass; a needed field that is missing or of another type raises
`msgspec.ValidationError`, whose message ends with the field's path. Nothing past this package knows of versions.
"""

from stream.stripe.shapes.charges import (
    Charge,
    Dispute,
    FraudWarning,
    Refund,
    charge,
    dispute,
    fraud_warning,
    refund,
)
from stream.stripe.shapes.coupons import Coupon, Discount, billed_discounts, coupon, discount
from stream.stripe.shapes.credit_notes import CreditNote, credit_note
from stream.stripe.shapes.customers import Address, Customer, customer
from stream.stripe.shapes.invoices import Invoice, InvoiceLine, invoice
from stream.stripe.shapes.prices import (
    Option,
    Price,
    Product,
    Tier,
    TransformQuantity,
    price,
    product,
    product_of,
)
from stream.stripe.shapes.subscriptions import (
    Cancellation,
    CollectionPause,
    Item,
    Paused,
    Subscription,
    items,
    subscription,
    subscriptions,
)
from stream.stripe.shapes.wire import before, event_data

__all__ = [
    "Address",
    "Cancellation",
    "Charge",
    "CollectionPause",
    "Coupon",
    "CreditNote",
    "Customer",
    "Discount",
    "Dispute",
    "FraudWarning",
    "Invoice",
    "InvoiceLine",
    "Item",
    "Option",
    "Paused",
    "Price",
    "Product",
    "Refund",
    "Subscription",
    "Tier",
    "TransformQuantity",
    "before",
    "billed_discounts",
    "charge",
    "coupon",
    "credit_note",
    "customer",
    "discount",
    "dispute",
    "event_data",
    "fraud_warning",
    "invoice",
    "items",
    "price",
    "product",
    "product_of",
    "refund",
    "subscription",
    "subscriptions",
]
