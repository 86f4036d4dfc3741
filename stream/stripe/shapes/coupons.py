"""Coupons, and discounts: a coupon redeemed by someone.

docs.stripe.com/api/coupons/object, docs.stripe.com/api/discounts/object. Since 2025-09-30.clover a discount
has its coupon under `source`, as an ID unless expanded; before, it held the whole coupon.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from stream.stripe.shapes.wire import Expandable, id_of


class Coupon(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a coupon takes off. `percent_off` is decimal text, `amount_off` is in minor units by currency.

    `applies_to` are the products that it is limited to, empty for all, and None where that is not told: it
    comes only when asked for. What a coupon takes off never changes once it exists.
    """

    id: str
    duration: str = "once"
    duration_in_months: int | None = None
    percent_off: str | None = None
    amount_off: dict[str, int] = {}
    applies_to: tuple[str, ...] | None = None
    name: str | None = None
    valid: bool = True
    deleted: bool = False
    metadata: dict[str, str] = {}


class Discount(msgspec.Struct, frozen=True, omit_defaults=True):
    """A redeemed coupon, in force from `start` until before `end` (epoch seconds, None without end).

    Only `id` is known of one that is not expanded; and `id` is empty before 2020-08-27.
    """

    id: str = ""
    coupon: str | None = None
    start: int | None = None
    end: int | None = None
    customer: str | None = None
    subscription: str | None = None
    subscription_item: str | None = None
    promotion_code: str | None = None
    embedded: Coupon | None = None


class _AppliesTo(msgspec.Struct):
    products: list[str] = []


class _Option(msgspec.Struct):
    amount_off: int


class _Coupon(msgspec.Struct):
    id: str
    duration: str | None = None
    duration_in_months: int | None = None
    percent_off: Decimal | None = None
    amount_off: int | None = None
    currency: str | None = None
    currency_options: dict[str, _Option] | None = None
    applies_to: _AppliesTo | None = None
    name: str | None = None
    valid: bool | None = None
    deleted: bool = False
    metadata: dict[str, str] | None = None

    def shaped(self) -> Coupon:
        amounts = {currency: option.amount_off for currency, option in (self.currency_options or {}).items()}
        if self.amount_off is not None and self.currency:
            amounts[self.currency] = self.amount_off
        return Coupon(
            id=self.id,
            duration=self.duration or "once",
            duration_in_months=self.duration_in_months,
            percent_off=None if self.percent_off is None else format(self.percent_off, "f"),
            amount_off=amounts,
            applies_to=tuple(self.applies_to.products) if self.applies_to else None,
            name=self.name,
            valid=self.valid is not False,
            deleted=self.deleted,
            metadata=self.metadata or {},
        )


class _Source(msgspec.Struct):
    coupon: str | _Coupon | None = None


class _Discount(msgspec.Struct):
    id: str = ""
    coupon: str | _Coupon | None = None
    source: _Source | None = None
    start: int | None = None
    end: int | None = None
    customer: Expandable = None
    subscription: Expandable = None
    subscription_item: str | None = None
    promotion_code: Expandable = None

    def shaped(self) -> Discount:
        coupon = self.source.coupon if self.source else self.coupon
        whole = coupon if isinstance(coupon, _Coupon) else None
        return Discount(
            id=self.id,
            coupon=coupon.id if isinstance(coupon, _Coupon) else coupon,
            start=self.start,
            end=self.end,
            customer=id_of(self.customer),
            subscription=id_of(self.subscription),
            subscription_item=self.subscription_item,
            promotion_code=id_of(self.promotion_code),
            embedded=whole.shaped() if whole else None,
        )


class _Bearer(msgspec.Struct):
    discounts: list[str | _Discount] | None = None


class _Lines(msgspec.Struct):
    data: list[_Bearer] = []


class _Billed(msgspec.Struct):
    id: str
    discount: _Discount | None = None
    discounts: list[str | _Discount] | None = None
    lines: _Lines | None = None


class _Invoices(msgspec.Struct):
    data: list[_Billed] = []


_coupon = msgspec.json.Decoder(_Coupon).decode
_invoices = msgspec.json.Decoder(_Invoices).decode
_discount = msgspec.json.Decoder(_Discount).decode


def coupon(raw: msgspec.Raw | bytes) -> Coupon:
    """A coupon of any API version."""
    return _coupon(raw).shaped()


def discount(raw: msgspec.Raw | bytes) -> Discount:
    """A discount of any API version."""
    return _discount(raw).shaped()


def discounts(single: _Discount | None, listed: list[str | _Discount] | None) -> tuple[Discount, ...]:
    """The discounts of an object that has them in a list, one by itself, or both for the same, in order."""
    if single is None and not listed:
        return ()
    shaped = [Discount(id=d) if isinstance(d, str) else d.shaped() for d in listed or ()]
    if single is not None:
        alone = single.shaped()
        if all(d.id != alone.id for d in shaped):
            shaped.append(alone)
        else:  # told twice, and the one by itself is the whole one
            shaped = [alone if d.id == alone.id and d.coupon is None else d for d in shaped]
    return tuple(shaped)


def billed_discounts(raw: msgspec.Raw | bytes) -> tuple[str | None, tuple[Discount, ...]]:
    """A page of invoices, as `GET /v1/invoices` lists them: the last one's ID, and the discounts that they bear."""
    page = _invoices(raw).data
    borne = [discounts(one.discount, one.discounts) for one in page]
    borne += [discounts(None, line.discounts) for one in page if one.lines for line in one.lines.data]
    return page[-1].id if page else None, tuple(one for each in borne for one in each)
