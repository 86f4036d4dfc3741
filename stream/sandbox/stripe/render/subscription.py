"""Subscriptions and their items."""

from __future__ import annotations

from stream.sandbox.stripe.objects import Item, Subscription
from stream.sandbox.stripe.render import catalogue
from stream.sandbox.stripe.render.form import BASIL, CLOVER, DAHLIA, ENDIVE, Form, Json, listed, named


def subscription(it: Subscription, form: Form) -> Json:
    """docs.stripe.com/api/subscriptions/object.

    Before basil the period, the first discount and, with a single item, plan and quantity stand at the top;
    since then the period is each item's.
    """
    fields: Json = {
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": it.billing_cycle_anchor,
        "billing_cycle_anchor_config": None,
        "billing_thresholds": None,
        "cancel_at": it.cancel_at,
        "cancel_at_period_end": it.cancel_at_period_end,
        "canceled_at": it.canceled_at,
        "cancellation_details": {
            "comment": it.cancellation.comment,
            "feedback": it.cancellation.feedback,
            "reason": it.cancellation.reason,
        },
        "collection_method": "charge_automatically" if it.days_until_due is None else "send_invoice",
        "created": it.created,
        "currency": it.currency,
        "customer": it.customer,
        "days_until_due": it.days_until_due,
        "default_payment_method": it.default_payment_method,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [discount.id for discount in it.discounts],
        "ended_at": it.ended_at,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": listed(
            [_item(item, it, form) for item in it.items], f"/v1/subscription_items?subscription={it.id}"
        ),
        "latest_invoice": it.latest_invoice,
        "livemode": form.livemode,
        "metadata": dict(it.metadata),
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": _pause(it),
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": it.created,
        "status": it.status,
        "test_clock": None,
        "transfer_data": None,
        "trial_end": it.trial_end,
        "trial_settings": {"end_behavior": {"missing_payment_method": it.missing_payment_method}},
        "trial_start": it.trial_start,
    }
    if form.version < BASIL:
        only = it.items[0] if len(it.items) == 1 else None
        fields |= {
            "current_period_end": it.period_end,
            "current_period_start": it.period_start,
            "discount": catalogue.discount(it.discounts[0], form) if it.discounts else None,
            "plan": catalogue.plan(only.price, form) if only else None,
            "quantity": only.quantity if only else None,
        }
    else:
        fields["billing_mode"] = {"flexible": None, "type": "classic"}
        if len({(item.price.interval, item.price.interval_count) for item in it.items}) > 1:
            fields["billing_mode"] = {"flexible": {"proration_discounts": "included"}, "type": "flexible"}
    if form.version >= CLOVER:
        fields["customer_account"] = None
    if form.version >= DAHLIA:
        fields |= {"billing_schedules": [], "managed_payments": None}
        fields["cancellation_details"]["feedback_option"] = None
    if form.version >= ENDIVE:
        fields["status_details"] = _status_details(it)
    return named("subscription", it.id, fields)


def _item(item: Item, it: Subscription, form: Form) -> Json:
    fields: Json = {
        "billing_thresholds": None,
        "created": item.created,
        "discounts": [],
        "metadata": dict(item.metadata),
        "plan": catalogue.plan(item.price, form),
        "price": catalogue.price(item.price, form),
        "subscription": it.id,
        "tax_rates": [],
    }
    if item.quantity is not None:
        # Stripe leaves the quantity of a metered price out.
        fields["quantity"] = item.quantity
    if form.version >= BASIL:
        fields |= {"current_period_end": item.period_end, "current_period_start": item.period_start}
    if form.version >= ENDIVE:
        trial = {"end_date": item.trial_end, "start_date": item.trial_start, "type": "free"}
        fields["current_trial"] = None if item.trial_end is None else trial
    return named("subscription_item", item.id, fields)


def _pause(it: Subscription) -> Json | None:
    if it.pause is None:
        return None
    return {"behavior": it.pause.behavior, "resumes_at": it.pause.resumes_at}


def _status_details(it: Subscription) -> Json | None:
    """Why it is paused, told since 2026-09-30.endive: a trial that ended without a card, or somebody's wish."""
    if it.status != "paused":
        return None
    without_card = it.missing_payment_method == "pause" and it.trial_end == it.paused_at
    why = "trial_end_without_payment_method" if without_card else "pause_requested"
    return {
        "paused": {"subscription": {"type": why}, "transitioned_at": it.paused_at, "type": "subscription"}
    }
