"""What a price costs: docs.stripe.com/api/prices/object. Exact fractions, in minor units of the currency."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from stream.sandbox.stripe.objects import Discount, Interval, Item, Price

# Months in one interval, with a year of 365 days and 52 weeks.
_MONTHS: dict[Interval, Fraction] = {
    "day": Fraction(12, 365),
    "week": Fraction(12, 52),
    "month": Fraction(1),
    "year": Fraction(12),
}


def cost(price: Price, quantity: int) -> Fraction:
    """What a quantity costs for one period, before discounts."""
    if price.divide_by:
        quantity = -(-quantity // price.divide_by)
    if price.tiers_mode == "volume":
        return _volume(price, quantity)
    if price.tiers_mode == "graduated":
        return _graduated(price, quantity)
    return Fraction(price.unit_amount or "0") * quantity


def _volume(price: Price, quantity: int) -> Fraction:
    """The whole quantity at the price of the tier that it falls into."""
    for tier in price.tiers:
        if tier.up_to is None or quantity <= tier.up_to:
            return Fraction(tier.unit_amount or "0") * quantity + Fraction(tier.flat_amount or "0")
    raise ValueError(f"{price.id} has no last tier")


def _graduated(price: Price, quantity: int) -> Fraction:
    """Every unit at the price of its own tier; the flat amount of each tier that is reached."""
    total, below = Fraction(0), 0
    for tier in price.tiers:
        if quantity > below or below == 0:
            within = (quantity if tier.up_to is None else min(quantity, tier.up_to)) - below
            total += Fraction(tier.unit_amount or "0") * within + Fraction(tier.flat_amount or "0")
        below = tier.up_to or quantity
    return total


def whole(amount: Fraction) -> int:
    """Rounded to the minor unit, half away from zero."""
    rounded = int(abs(amount) + Fraction(1, 2))
    return rounded if amount >= 0 else -rounded


def amount(price: Price, quantity: int | None) -> int:
    """What stands on an invoice for one period."""
    return whole(cost(price, quantity or 0))


def monthly(items: Iterable[Item]) -> Fraction:
    """What items bring in a month before discounts; metered ones bring nothing that is known beforehand."""
    return sum(
        (
            cost(item.price, item.quantity or 0) / (_MONTHS[item.price.interval] * item.price.interval_count)
            for item in items
            if item.price.usage_type == "licensed"
        ),
        Fraction(0),
    )


def rebate(subtotal: int, discount: Discount, currency: str) -> int:
    """What a discount takes off an invoice's subtotal; an amount off is in its own currency only."""
    coupon = discount.coupon
    if subtotal <= 0:
        return 0
    if coupon.percent_off is not None:
        return whole(subtotal * Fraction(str(coupon.percent_off)) / 100)
    return min(coupon.amount_off or 0, subtotal) if coupon.currency == currency else 0
