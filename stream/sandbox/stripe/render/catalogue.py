"""Products, prices (and the plans of old), coupons, discounts."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from stream.sandbox.stripe.objects import Coupon, Discount, Price, Product, Tier
from stream.sandbox.stripe.render.form import BASIL, CLOVER, Y2022_08, Form, Json, named


def product(it: Product, form: Form) -> Json:
    """docs.stripe.com/api/products/object."""
    fields: Json = {
        "active": it.active,
        "created": it.created,
        "default_price": it.default_price,
        "description": it.description,
        "images": [],
        "livemode": form.livemode,
        "marketing_features": [],
        "metadata": dict(it.metadata),
        "name": it.name,
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "type": "service",
        "unit_label": it.unit_label,
        "updated": it.updated,
        "url": None,
    }
    if form.version < Y2022_08:
        fields["attributes"] = []
    return named("product", it.id, fields)


def price(it: Price, form: Form) -> Json:
    """docs.stripe.com/api/prices/object. The tiers are not in it: they are expanded on request only."""
    recurring: Json = {
        "interval": it.interval,
        "interval_count": it.interval_count,
        "meter": it.meter,
        "trial_period_days": None,
        "usage_type": it.usage_type,
    }
    if form.version < BASIL:
        recurring = {"aggregate_usage": _aggregate(it), **recurring}
    fields: Json = {
        "active": it.active,
        "billing_scheme": it.billing_scheme,
        "created": it.created,
        "currency": it.currency,
        "custom_unit_amount": None,
        "livemode": form.livemode,
        "lookup_key": it.lookup_key,
        "metadata": dict(it.metadata),
        "nickname": it.nickname,
        "product": it.product,
        "recurring": recurring,
        "tax_behavior": "unspecified",
        "tiers_mode": it.tiers_mode,
        "transform_quantity": _packs(it),
        "type": "recurring",
        "unit_amount": _whole(it.unit_amount),
        "unit_amount_decimal": it.unit_amount,
    }
    return named("price", it.id, fields)


def plan(it: Price, form: Form) -> Json:
    """The same price as the Plans API knew it (docs.stripe.com/api/plans/object)."""
    fields: Json = {
        "active": it.active,
        "amount": _whole(it.unit_amount),
        "amount_decimal": it.unit_amount,
        "billing_scheme": it.billing_scheme,
        "created": it.created,
        "currency": it.currency,
        "interval": it.interval,
        "interval_count": it.interval_count,
        "livemode": form.livemode,
        "metadata": dict(it.metadata),
        "meter": it.meter,
        "nickname": it.nickname,
        "product": it.product,
        "tiers_mode": it.tiers_mode,
        "transform_usage": _packs(it),
        "trial_period_days": None,
        "usage_type": it.usage_type,
    }
    if form.version < BASIL:
        fields["aggregate_usage"] = _aggregate(it)
    return named("plan", it.id, fields)


def tiers(it: Price) -> list[Json] | None:
    """What `expand[]=tiers` adds; None for a price without tiers."""
    return [_tier(tier) for tier in it.tiers] if it.tiers_mode else None


def currency_options(it: Price) -> Json:
    """What `expand[]=currency_options` adds: here a price has its own currency only."""
    option: Json = {
        "custom_unit_amount": None,
        "tax_behavior": "unspecified",
        "unit_amount": _whole(it.unit_amount),
        "unit_amount_decimal": it.unit_amount,
    }
    return {it.currency: option}


def coupon(it: Coupon, form: Form) -> Json:
    """docs.stripe.com/api/coupons/object."""
    fields: Json = {
        "amount_off": it.amount_off,
        "created": it.created,
        "currency": it.currency,
        "duration": it.duration,
        "duration_in_months": it.duration_in_months,
        "livemode": form.livemode,
        "max_redemptions": None,
        "metadata": dict(it.metadata),
        "name": it.name,
        "percent_off": it.percent_off,
        "redeem_by": None,
        "times_redeemed": 0,
        "valid": not it.deleted,
    }
    return named("coupon", it.id, fields)


def discount(it: Discount, form: Form) -> Json:
    """docs.stripe.com/api/discounts/object. Up to clover it bore its whole coupon; since then its ID."""
    fields: Json = {
        "checkout_session": None,
        "customer": it.customer,
        "end": it.end,
        "invoice": None,
        "invoice_item": None,
        "promotion_code": None,
        "start": it.created,
        "subscription": it.subscription,
        "subscription_item": None,
    }
    if form.version < CLOVER:
        fields["coupon"] = coupon(it.coupon, form)
    else:
        fields |= {"customer_account": None, "source": {"coupon": it.coupon.id, "type": "coupon"}}
    return named("discount", it.id, fields)


def _tier(tier: Tier) -> Json:
    return {
        "flat_amount": _whole(tier.flat_amount),
        "flat_amount_decimal": tier.flat_amount,
        "unit_amount": _whole(tier.unit_amount),
        "unit_amount_decimal": tier.unit_amount,
        "up_to": tier.up_to,
    }


def _whole(amount: str | None) -> int | None:
    """The integer beside a decimal amount: null when it would not be exact."""
    if amount is None:
        return None
    value = Fraction(amount)
    return int(value) if value.denominator == 1 else None


def _packs(it: Price) -> dict[str, Any] | None:
    return {"divide_by": it.divide_by, "round": "up"} if it.divide_by else None


def _aggregate(it: Price) -> str | None:
    """How a metered price without a meter added usage up."""
    return "sum" if it.usage_type == "metered" and it.meter is None else None
