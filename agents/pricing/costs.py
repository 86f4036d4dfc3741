"""What a quantity of a price costs for one of its periods, before discounts, and what that is a month.

docs.stripe.com/products-prices/pricing-models, docs.stripe.com/api/prices/object.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import msgspec

from agents.pricing.money import Exact, Money, parsed
from stream.stripe.shapes import Price, Tier

# A month is a twelfth of a year, a year has 52 weeks or 365 days. (Times 4 a week, as some reports have it,
# loses four weeks a year.)
_A_MONTH: dict[str, Exact] = {
    "day": Fraction(365, 12),
    "week": Fraction(52, 12),
    "month": 1,
    "year": Fraction(1, 12),
}


class Unpriceable(Exception):
    """A price that Stripe's documentation does not provide for. The message names it, and what is wrong."""


class Part(msgspec.Struct, frozen=True):
    """So many units (or packs) at one amount each, and a flat amount, in minor units."""

    units: int
    unit: Exact
    flat: Exact = 0

    @property
    def amount(self) -> Exact:
        """What it comes to."""
        return self.units * self.unit + self.flat


class Cost(msgspec.Struct, frozen=True):
    """What one period of a quantity costs in a currency: its parts, of which there are several where each unit is
    charged in its own tier, and none where the payer chooses."""

    price: Price
    quantity: int
    currency: str
    parts: tuple[Part, ...]

    @property
    def amount(self) -> Exact:
        """In minor units."""
        return sum([part.amount for part in self.parts])

    @property
    def arithmetic(self) -> str:
        """For a person: `2,500 ÷ 1,000 rounded up = 3; 3 × 12.00 USD`."""
        if not self.parts:
            return f"{self.price.id}: the payer chooses the amount, nothing is known beforehand"
        packs = _packs_in_words(self.price, self.quantity)
        if _graduated(self.price):
            return f"{packs} in tiers: " + " + ".join(f"{it.units:,} × {self._each(it)}" for it in self.parts)
        return f"{packs} × {self._each(self.parts[0])}"

    def _each(self, part: Part) -> str:
        each = Money(part.unit, self.currency).text
        return f"{each} + {Money(part.flat, self.currency).text} flat" if part.flat else each


def times_a_month(price: Price) -> Exact:
    """How often a price is charged a month. Raises Unpriceable for an interval that is not known."""
    try:
        a_month = _A_MONTH[price.interval or ""]
    except KeyError:
        raise Unpriceable(f"Price {price.id} recurs every `{price.interval}`, which has no length.") from None
    return a_month if price.interval_count == 1 else Fraction(a_month) / price.interval_count


def cost(price: Price, quantity: int, currency: str) -> Cost:
    """The cost of a quantity in one of the price's currencies.

    Raises Unpriceable; the price has to have its tiers, and its options for a currency not its own.
    """
    unit, tiers = price.unit_amount, price.tiers
    if currency != price.currency:
        option = price.options[currency]
        unit, tiers = option.unit_amount, option.tiers
    packs = _packs(price, quantity)
    parts: tuple[Part, ...]
    if price.billing_scheme != "tiered":
        parts = () if unit is None else (Part(packs, parsed(unit)),)
    elif price.tiers_mode == "volume":
        parts = (_volume(price, tiers, packs),)
    elif _graduated(price):
        parts = tuple(_by_tier(price, tiers, packs))
    else:
        raise Unpriceable(f"Price {price.id} has tiers of a mode that is not known: `{price.tiers_mode}`.")
    return Cost(price, quantity, currency, parts)


def _graduated(price: Price) -> bool:
    return price.billing_scheme == "tiered" and price.tiers_mode == "graduated"


def _packs(price: Price, quantity: int) -> int:
    """The quantity that is charged."""
    transform = price.transform_quantity
    if transform is None:
        return quantity
    if transform.round not in ("up", "down"):
        raise Unpriceable(f"Price {price.id} rounds packs `{transform.round}`, which is neither up nor down.")
    by = transform.divide_by
    return -(-quantity // by) if transform.round == "up" else quantity // by


def _packs_in_words(price: Price, quantity: int) -> str:
    """How the quantity that is charged came about."""
    transform = price.transform_quantity
    if transform is None:
        return f"{quantity:,}"
    packs = f"{_packs(price, quantity):,}"
    return f"{quantity:,} ÷ {transform.divide_by:,} rounded {transform.round} = {packs}; {packs}"


def _volume(price: Price, tiers: tuple[Tier, ...], quantity: int) -> Part:
    """The whole quantity at the price of the tier that it falls into, and that tier's flat amount."""
    for tier in tiers:
        if tier.up_to is None or quantity <= tier.up_to:
            return _part(quantity, tier)
    raise _no_last_tier(price, quantity)


def _by_tier(price: Price, tiers: tuple[Tier, ...], quantity: int) -> Iterator[Part]:
    """Every unit at the price of its own tier, and the flat amount of each tier that is reached.

    The first tier is reached by a quantity of 0 too.
    """
    below = 0
    for tier in tiers:
        if quantity <= below and below > 0:
            return
        within = (quantity if tier.up_to is None else min(quantity, tier.up_to)) - below
        yield _part(within, tier)
        if tier.up_to is None:
            return
        below = tier.up_to
    if quantity > below:
        raise _no_last_tier(price, quantity)


def _part(units: int, tier: Tier) -> Part:
    return Part(units, parsed(tier.unit_amount or "0"), parsed(tier.flat_amount or "0"))


def _no_last_tier(price: Price, quantity: int) -> Unpriceable:
    return Unpriceable(f"Price {price.id} has no tier for a quantity of {quantity}.")
