"""The truth as Stripe's JSON, in whichever API version is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from stream.sandbox.stripe.book import StripeEvent
from stream.sandbox.stripe.objects import (
    Charge,
    Coupon,
    CreditNote,
    Customer,
    Discount,
    Dispute,
    FraudWarning,
    Invoice,
    InvoicePayment,
    PaymentIntent,
    PaymentMethod,
    Price,
    Product,
    Refund,
    Subscription,
    Thing,
)
from stream.sandbox.stripe.render import catalogue, customer, expansion, invoice, payment, subscription
from stream.sandbox.stripe.render.difference import previous
from stream.sandbox.stripe.render.expansion import NotExpandable
from stream.sandbox.stripe.render.form import Y2022_11, Form, Json

__all__ = ["NotExpandable", "body", "event", "thing"]

_NOUNS: dict[type[Thing], Callable[[Any, Form], Json]] = {
    Charge: payment.charge,
    Coupon: catalogue.coupon,
    CreditNote: invoice.credit_note,
    Customer: customer.customer,
    Discount: catalogue.discount,
    Dispute: payment.dispute,
    FraudWarning: payment.fraud_warning,
    Invoice: invoice.invoice,
    InvoicePayment: invoice.payment,
    PaymentIntent: payment.intent,
    PaymentMethod: customer.payment_method,
    Price: catalogue.price,
    Product: catalogue.product,
    Refund: payment.refund,
    Subscription: subscription.subscription,
}


def body(told: StripeEvent) -> bytes:
    """What Stripe posts: the event in its own API version, indented as Stripe does it."""
    return msgspec.json.format(msgspec.json.encode(event(told)), indent=2)


def event(told: StripeEvent) -> Json:
    """docs.stripe.com/api/events/object. Its object is a snapshot, with nothing expanded."""
    form = Form(told.version, told.livemode)
    now = _plain(told.thing, form)
    data: Json = {"object": now}
    if told.before is not None:
        data["previous_attributes"] = previous(_plain(told.before, form), now)
    return {
        "id": told.id,
        "object": "event",
        **({"account": told.account} if told.account else {}),
        "api_version": told.version,
        "created": told.created,
        "data": data,
        "livemode": told.livemode,
        "pending_webhooks": told.pending_webhooks,
        "request": {"id": told.request.id, "idempotency_key": told.request.idempotency_key},
        "type": told.type,
    }


def thing(
    it: Thing,
    version: str,
    expand: Iterable[str] = (),
    things: Mapping[str, Thing] | None = None,
    *,
    livemode: bool = False,
) -> Json:
    """One object as the API answers it. `expand` are Stripe's paths (`tiers`, `items.data.price.product`);
    what they lead to is looked up in `things`, by its key, and stays an ID where it is not there.

    Raises NotExpandable for a path that leads nowhere.
    """
    form = Form(version, livemode)
    rendered = _plain(it, form)
    found = expansion.Finder(it, things or {})
    if isinstance(it, PaymentIntent) and version < Y2022_11:
        latest = found(it.latest_charge or "")
        rendered["charges"]["data"] = [_plain(latest, form)] if latest else []
        rendered["charges"]["total_count"] = len(rendered["charges"]["data"])
    for path in expand:
        expansion.expand(rendered, path, found, form, _plain)
    return rendered


def _plain(it: Thing, form: Form) -> Json:
    return _NOUNS[type(it)](it, form)
