"""What the company sells: products, prices in every currency, coupons; and what is changed of it later.

A price or coupon that customers have is never edited, as a careful company does it: a dearer price is a new one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any, Literal

import msgspec

from stream.sandbox.stripe.book import Book
from stream.sandbox.stripe.objects import Coupon, Interval, Price, Product, Tier

Kind = Literal["flat", "seats", "graduated", "volume", "packs", "metered"]

# Minor units of a currency that are worth about one US cent.
_CENTS = {
    "usd": Fraction(1),
    "eur": Fraction(1),
    "gbp": Fraction(4, 5),
    "jpy": Fraction(3, 2),
    "kwd": Fraction(3),
}
CURRENCIES = tuple(_CENTS)


class Plan(msgspec.Struct, frozen=True):
    """One way to subscribe, in one currency. `level` orders plans from the smallest to the largest;
    `since` is when it can first be bought (epoch seconds)."""

    name: str
    kind: Kind
    level: int
    price: Price
    since: int


class _Offer(msgspec.Struct, frozen=True):
    """A product and its prices in US cents: interval, count, amount, tiers."""

    name: str
    kind: Kind
    level: int
    prices: tuple[tuple[Interval, int, str | None], ...]
    tiers: tuple[tuple[int | None, str, str | None], ...] = ()
    unit_label: str | None = None
    divide_by: int | None = None


_OFFERS = (
    _Offer("Starter", "flat", 1, (("month", 1, "1900"), ("year", 1, "19000"))),
    _Offer("Classroom", "flat", 1, (("week", 1, "700"), ("day", 30, "2500"))),
    _Offer("Team", "seats", 2, (("month", 1, "1250"), ("year", 1, "12500")), unit_label="seat"),
    _Offer("Messages", "packs", 2, (("month", 1, "499.5"),), divide_by=1000, unit_label="message"),
    _Offer(
        "Scale", "graduated", 3, (("month", 1, None), ("year", 1, None)),
        tiers=((5, "0", "9000"), (20, "1500", None), (None, "1125.5", "2500")), unit_label="seat",
    ),
    _Offer(
        "Fleet", "volume", 3, (("month", 3, None),),
        tiers=((10, "3000", "5000"), (100, "2500", None), (None, "2000", None)), unit_label="vehicle",
    ),
    _Offer("Enterprise", "flat", 4, (("month", 1, "99900"), ("month", 3, "285000"), ("year", 1, "999000"))),
    _Offer("API calls", "metered", 0, (("month", 1, "0.25"),), unit_label="call"),
)  # fmt: skip


class Catalogue:
    """Everything that one account sells, and the events that told it."""

    def __init__(
        self, rng: random.Random, account: str | None, start: int, end: int, version_at: Callable[[int], str]
    ) -> None:
        self.book = Book(rng, account, version_at)
        self.plans: list[Plan] = []
        self.coupons: list[Coupon] = []
        self._at = start
        for offer in _OFFERS:
            self._offer(offer)
        self._offer_coupons()
        self._later(start + (end - start) // 2, rng)

    def on_sale(self, currency: str, at: int, kinds: tuple[Kind, ...] | None = None) -> list[Plan]:
        """What can be bought in a currency at a time; of the same plan the newest price."""
        newest: dict[tuple[str, Interval, int], Plan] = {}
        for plan in self.plans:
            if plan.price.currency == currency and plan.since <= at and (kinds is None or plan.kind in kinds):
                newest[plan.name, plan.price.interval, plan.price.interval_count] = plan
        return list(newest.values())

    def plan_of(self, price: Price) -> Plan:
        """The plan that a price belongs to."""
        return next(plan for plan in self.plans if plan.price.id == price.id)

    def _offer(self, offer: _Offer) -> None:
        book = self.book
        book.called()
        product = book.add(
            Product(
                id=book.new_id("prod_", 14),
                created=self._tick(),
                updated=self._at,
                account=book.account,
                name=offer.name,
                description=f"{offer.name} subscription",
                unit_label=offer.unit_label,
            ),
            "product.created",
        )
        first: Price | None = None
        for currency in CURRENCIES:
            for interval, count, cents in offer.prices:
                price = self._price(offer, product, currency, interval, count, cents, self._tick())
                first = first or price
        if first:
            book.change(product, self._tick(), "product.updated", default_price=first.id, updated=self._at)

    def _price(
        self, offer: _Offer, product: Product, currency: str, interval: Interval, count: int,
        cents: str | None, at: int,
    ) -> Price:  # fmt: skip
        book = self.book
        book.called()
        # A year's tiers cost ten months, as a year of any plan does.
        factor = _CENTS[currency] * (10 if interval == "year" and offer.tiers else 1)
        metered = offer.kind == "metered"
        price = Price(
            id=book.new_id("price_1"),
            created=at,
            account=book.account,
            product=product.id,
            currency=currency,
            unit_amount=None if offer.tiers else _decimal(cents, factor),
            interval=interval,
            interval_count=count,
            usage_type="metered" if metered else "licensed",
            tiers_mode=offer.kind if offer.kind in ("graduated", "volume") else None,
            tiers=tuple(Tier(up_to, _decimal(u, factor), _decimal(f, factor)) for up_to, u, f in offer.tiers),
            divide_by=offer.divide_by,
            meter=book.new_id("mtr_test_") if metered else None,
            nickname=f"{offer.name} {currency.upper()} every {count} {interval}",
            lookup_key=f"{offer.name}-{currency}-{count}{interval}-{at}".lower().replace(" ", "-"),
        )
        book.add(price, "price.created")
        self.plans.append(Plan(offer.name, offer.kind, offer.level, price, at))
        return price

    def _offer_coupons(self) -> None:
        kinds: tuple[dict[str, Any], ...] = (
            {"name": "25.5% off for good", "duration": "forever", "percent_off": 25.5},
            {"name": "Half price, three months", "duration": "repeating", "percent_off": 50.0,
             "duration_in_months": 3},
            {"name": "Welcome: 20% off", "duration": "once", "percent_off": 20.0},
            {"name": "Friends of the house", "duration": "forever", "percent_off": 100.0},
            *({"name": f"Five off ({c})", "duration": "repeating", "duration_in_months": 2, "currency": c,
               "amount_off": int(500 * _CENTS[c])} for c in CURRENCIES),
        )  # fmt: skip
        for kind in kinds:
            self.book.called()
            coupon = Coupon(
                id=self.book.new_id("", 8), created=self._tick(), account=self.book.account, **kind
            )
            self.coupons.append(self.book.add(coupon, "coupon.created"))

    def _later(self, at: int, rng: random.Random) -> None:
        """In the middle of the run the Team plan gets dearer, and things nobody has are edited or deleted."""
        book = self.book
        self._at = at
        team = next(offer for offer in _OFFERS if offer.kind == "seats")
        product = next(t for t in book.things.values() if isinstance(t, Product) and t.name == team.name)
        for currency in CURRENCIES:
            self._price(team, product, currency, "month", 1, "1450", self._tick())
        book.called()
        book.change(
            book.get(product.id, Product),
            self._tick(),
            "product.updated",
            name="Team Plus",
            metadata={"renamed_from": "Team"},
            updated=self._at,
        )
        old = book.add(
            Coupon(
                id=book.new_id("", 8),
                created=self._tick(),
                account=book.account,
                name="Never used",
                duration="once",
                percent_off=5.0,
            ),
            "coupon.created",
        )
        old = book.change(old, self._tick(), "coupon.updated", name="Never used, soon gone")
        book.change(old, self._tick(), "coupon.deleted", deleted=True)
        metered = next(t for t in book.things.values() if isinstance(t, Price) and t.usage_type == "metered")
        mistake = book.add(
            msgspec.structs.replace(
                metered, id=book.new_id("price_1"), created=self._tick(), lookup_key=None
            ),
            "price.created",
        )
        book.change(mistake, self._tick(), "price.updated", active=False, nickname="made by mistake")
        book.automatic()

    def _tick(self) -> int:
        """One price after the other, some within one second."""
        self._at += self.book.rng.randint(0, 2)
        return self._at


@cache
def _decimal(cents: str | None, factor: Fraction) -> str | None:
    """US cents as decimal text in another currency; all factors here are finite decimals."""
    if cents is None:
        return None
    value = Fraction(cents) * factor
    whole, rest = divmod(value, 1)
    digits = f"{float(rest):.4f}"[2:].rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
