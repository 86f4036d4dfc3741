"""Prices and products. A plan is what a price was called before 2020, and is still sent beside it.

docs.stripe.com/api/prices/object, docs.stripe.com/api/plans/object, docs.stripe.com/api/products/object.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from stream.stripe.shapes.wire import Count, DecimalText, Expandable, id_of


class Product(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is sold."""

    id: str
    name: str | None = None
    description: str | None = None
    unit_label: str | None = None
    active: bool = True
    deleted: bool = False
    metadata: dict[str, str] = {}


class Tier(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One tier: up to and with `up_to` units (None: without end). Amounts are decimal text in minor units."""

    up_to: int | None = None
    unit_amount: str | None = None
    flat_amount: str | None = None


class TransformQuantity(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Units are sold in packs of `divide_by`; a part of one is rounded `up` or `down`."""

    divide_by: int
    round: str = "up"


class Option(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a price costs in one more currency."""

    unit_amount: str | None = None
    tiers: tuple[Tier, ...] = ()


class Price(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What one unit of a product costs, every `interval_count` of `interval` (None: not recurring).

    `unit_amount` is decimal text in minor units; None when there are tiers or when the payer chooses.
    `tiers` and `options` (the other currencies) are not in webhooks: empty there for a price that has some.
    What a price costs never changes once it exists.
    """

    id: str
    currency: str
    product: str | None = None
    unit_amount: str | None = None
    interval: str | None = None
    interval_count: int = 1
    usage_type: str = "licensed"
    billing_scheme: str = "per_unit"
    tiers_mode: str | None = None
    tiers: tuple[Tier, ...] = ()
    transform_quantity: TransformQuantity | None = None
    options: dict[str, Option] = {}
    nickname: str | None = None
    lookup_key: str | None = None
    active: bool = True
    deleted: bool = False
    metadata: dict[str, str] = {}


class _Transform(msgspec.Struct):
    divide_by: Count
    round: str = "up"


class _Recurring(msgspec.Struct):
    interval: str
    interval_count: Count | None = None
    usage_type: str | None = None


class _Tier(msgspec.Struct):
    up_to: Count | None = None
    unit_amount_decimal: DecimalText | None = None
    unit_amount: int | None = None
    amount: int | None = None
    flat_amount_decimal: DecimalText | None = None
    flat_amount: int | None = None

    def shaped(self) -> Tier:
        unit = self.unit_amount if self.unit_amount is not None else self.amount
        return Tier(
            up_to=self.up_to,
            unit_amount=_text(self.unit_amount_decimal, unit),
            flat_amount=_text(self.flat_amount_decimal, self.flat_amount),
        )


class _Option(msgspec.Struct):
    unit_amount_decimal: DecimalText | None = None
    unit_amount: int | None = None
    tiers: list[_Tier] | None = None

    def shaped(self) -> Option:
        return Option(
            _text(self.unit_amount_decimal, self.unit_amount), tuple(t.shaped() for t in self.tiers or ())
        )


class _Price(msgspec.Struct, gc=False):
    """A price's fields, and those that a plan calls otherwise."""

    id: str
    currency: Annotated[str, msgspec.Meta(min_length=3, max_length=3)]
    product: Expandable = None
    unit_amount_decimal: DecimalText | None = None
    unit_amount: int | None = None
    amount_decimal: DecimalText | None = None
    amount: int | None = None
    recurring: _Recurring | None = None
    interval: str | None = None
    interval_count: Count | None = None
    usage_type: str | None = None
    billing_scheme: str | None = None
    tiers_mode: str | None = None
    tiers: list[_Tier] | None = None
    transform_quantity: _Transform | None = None
    transform_usage: _Transform | None = None
    currency_options: dict[str, _Option] | None = None
    nickname: str | None = None
    name: str | None = None
    lookup_key: str | None = None
    active: bool = True
    deleted: bool = False
    metadata: dict[str, str] | None = None

    def shaped(self) -> Price:
        recurring = self.recurring
        packs = self.transform_quantity or self.transform_usage
        whole = self.unit_amount if self.unit_amount is not None else self.amount
        return Price(
            id=self.id,
            currency=self.currency,
            product=id_of(self.product),
            unit_amount=_text(self.unit_amount_decimal or self.amount_decimal, whole),
            interval=recurring.interval if recurring else self.interval,
            interval_count=(recurring.interval_count if recurring else self.interval_count) or 1,
            usage_type=(recurring.usage_type if recurring else self.usage_type) or "licensed",
            billing_scheme=self.billing_scheme or "per_unit",
            tiers_mode=self.tiers_mode,
            tiers=tuple(tier.shaped() for tier in self.tiers or ()),
            transform_quantity=TransformQuantity(packs.divide_by, packs.round) if packs else None,
            # Its own currency is among the options when they are expanded.
            options={
                currency: option.shaped()
                for currency, option in (self.currency_options or {}).items()
                if currency != self.currency
            },
            nickname=self.nickname or self.name,
            lookup_key=self.lookup_key,
            active=self.active,
            deleted=self.deleted,
            metadata=self.metadata or {},
        )


class _Product(msgspec.Struct):
    id: str
    name: str | None = None
    description: str | None = None
    unit_label: str | None = None
    active: bool | None = None
    deleted: bool = False
    metadata: dict[str, str] | None = None

    def shaped(self) -> Product:
        return Product(
            id=self.id,
            name=self.name,
            description=self.description,
            unit_label=self.unit_label,
            active=self.active is not False,
            deleted=self.deleted,
            metadata=self.metadata or {},
        )


class _Sold(msgspec.Struct):
    product: str | _Product | None = None


_price = msgspec.json.Decoder(_Price).decode
_product = msgspec.json.Decoder(_Product).decode
_sold = msgspec.json.Decoder(_Sold).decode


def price(raw: msgspec.Raw | bytes) -> Price:
    """A price, or a plan, of any API version."""
    return _price(raw).shaped()


def product(raw: msgspec.Raw | bytes) -> Product:
    """A product of any API version."""
    return _product(raw).shaped()


def product_of(raw: msgspec.Raw | bytes) -> Product | None:
    """The product of a price in which it is expanded; None where it is not."""
    found = _sold(raw).product
    return found.shaped() if isinstance(found, _Product) else None


def _text(decimal: str | None, whole: int | None) -> str | None:
    """The decimal text of an amount that old versions have as a whole number only."""
    return decimal if decimal is not None else (None if whole is None else str(whole))
