"""What a quantity of a price costs for one of its periods, before discounts, and what that is a month.

docs.stripe.com/products-prices/pricing-models, docs.stripe.com/api/prices/object.
"""

from __future__ import annotations

from fractions import Fraction

import msgspec

from agents.pricing.money import Money
from stream.stripe.shapes import Price, Tier

# A month is a twelfth of a year, a year has 52 weeks or 365 days. (Times 4 a week, as some reports have it,
# loses four weeks a year.)
_A_MONTH = {"day": Fraction(365, 12), "week": Fraction(52, 12), "month": Fraction(1), "year": Fraction(1, 12)}


class Unpriceable(Exception):
    """A price that Stripe's documentation does not provide for. The message names it, and what is wrong."""


class Cost(msgspec.Struct, frozen=True):
    """What one period costs, in minor units, and the arithmetic for a person."""

    amount: Fraction
    arithmetic: str


def times_a_month(price: Price) -> Fraction:
    """How often a price is charged a month. Raises Unpriceable for an interval that is not known."""
    try:
        return _A_MONTH[price.interval or ""] / price.interval_count
    except KeyError:
        raise Unpriceable(f"Price {price.id} recurs every `{price.interval}`, which has no length.") from None


def cost(price: Price, quantity: int, currency: str) -> Cost:
    """The cost of a quantity in one of the price's currencies.

    Raises Unpriceable; the price has to have its tiers, and its options for a currency not its own.
    """
    unit, tiers = price.unit_amount, price.tiers
    if currency != price.currency:
        option = price.options[currency]
        unit, tiers = option.unit_amount, option.tiers
    packed, packs = _packed(price, quantity)
    if price.billing_scheme == "tiered":
        if price.tiers_mode == "volume":
            return _volume(price, tiers, packed, currency, packs)
        if price.tiers_mode == "graduated":
            return _graduated(price, tiers, packed, currency, packs)
        raise Unpriceable(f"Price {price.id} has tiers of a mode that is not known: `{price.tiers_mode}`.")
    if unit is None:
        return Cost(Fraction(0), f"{price.id}: the payer chooses the amount, nothing is known beforehand")
    amount = packed * Fraction(unit)
    return Cost(amount, f"{packs} × {_text(unit, currency)}")


def _packed(price: Price, quantity: int) -> tuple[int, str]:
    """The quantity that is charged, and how it came about."""
    transform = price.transform_quantity
    if transform is None:
        return quantity, f"{quantity:,}"
    if transform.round not in ("up", "down"):
        raise Unpriceable(f"Price {price.id} rounds packs `{transform.round}`, which is neither up nor down.")
    by = transform.divide_by
    packs = -(-quantity // by) if transform.round == "up" else quantity // by
    return packs, f"{quantity:,} ÷ {by:,} rounded {transform.round} = {packs:,}; {packs:,}"


def _volume(price: Price, tiers: tuple[Tier, ...], quantity: int, currency: str, text: str) -> Cost:
    """The whole quantity at the price of the tier that it falls into, and that tier's flat amount."""
    for tier in tiers:
        if tier.up_to is None or quantity <= tier.up_to:
            unit, flat = Fraction(tier.unit_amount or "0"), Fraction(tier.flat_amount or "0")
            plus = f" + {_text(tier.flat_amount or '0', currency)} flat" if flat else ""
            return Cost(quantity * unit + flat, f"{text} × {_text(tier.unit_amount or '0', currency)}{plus}")
    raise _no_last_tier(price, quantity)


def _graduated(price: Price, tiers: tuple[Tier, ...], quantity: int, currency: str, text: str) -> Cost:
    """Every unit at the price of its own tier, and the flat amount of each tier that is reached.

    The first tier is reached by a quantity of 0 too.
    """
    total, below, parts = Fraction(0), 0, []
    for tier in tiers:
        if quantity <= below and below > 0:
            break
        within = (quantity if tier.up_to is None else min(quantity, tier.up_to)) - below
        flat = Fraction(tier.flat_amount or "0")
        total += within * Fraction(tier.unit_amount or "0") + flat
        parts.append(f"{within:,} × {_text(tier.unit_amount or '0', currency)}")
        if flat:
            parts.append(f"{_text(tier.flat_amount or '0', currency)} flat")
        if tier.up_to is None:
            break
        below = tier.up_to
    else:
        if quantity > below:
            raise _no_last_tier(price, quantity)
    return Cost(total, f"{text} in tiers: " + " + ".join(parts))


def _no_last_tier(price: Price, quantity: int) -> Unpriceable:
    return Unpriceable(f"Price {price.id} has no tier for a quantity of {quantity}.")


def _text(minor: str, currency: str) -> str:
    return Money(Fraction(minor), currency).text
