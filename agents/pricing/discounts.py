"""What discounts take off. docs.stripe.com/billing/subscriptions/coupons.

An item's own discounts come first, then the subscription's, in their order; the customer's only where the
subscription has none. A percentage is of what is left. An amount off is per invoice, split over the items in
proportion to what is left of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from fractions import Fraction

import msgspec

from agents.pricing.costs import Unpriceable
from agents.pricing.money import Exact, Money, parsed
from agents.pricing.profiles import Profile
from stream.stripe.catalogue import Gone, Lookup
from stream.stripe.shapes import Coupon, Discount, Item, Price, Subscription


class Unknown(msgspec.Struct, frozen=True):
    """What has to be fetched before an MRR can be told. IDs, sorted; an MRR is never guessed.

    `subscriptions` came with only the first of their items, or with discounts by ID: those in `discounts`.
    """

    prices: tuple[str, ...] = ()
    coupons: tuple[str, ...] = ()
    discounts: tuple[str, ...] = ()
    subscriptions: tuple[str, ...] = ()


class Missing:
    """Gathers what is not known, so that all of it is fetched at once."""

    def __init__(self) -> None:
        self.prices: set[str] = set()
        self.coupons: set[str] = set()
        self.discounts: set[str] = set()
        self.subscriptions: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self.prices or self.coupons or self.discounts or self.subscriptions)

    def known(self) -> Unknown:
        """As a result."""
        return Unknown(*(tuple(sorted(ids)) for ids in vars(self).values()))


class Rebate(msgspec.Struct, frozen=True):
    """A coupon in force until `end` (epoch seconds; None: without end)."""

    coupon: Coupon
    end: int | None

    def covers(self, product: str | None) -> bool:
        """Whether it is for a product."""
        return not self.coupon.applies_to or product in self.coupon.applies_to

    def says(self, off: Money) -> str:
        """For a person, of what it takes off a month: `HALF: 50 % off until 2026-03-01 = -10.00 USD per month`."""
        coupon = self.coupon
        told = f"{coupon.percent_off} %"
        if coupon.percent_off is None:
            amount = coupon.amount_off.get(off.currency)
            told = "nothing in this currency" if amount is None else Money(amount, off.currency).text
        until = "" if self.end is None else f" until {datetime.fromtimestamp(self.end, UTC):%Y-%m-%d}"
        name = f"{coupon.name} ({coupon.id})" if coupon.name else coupon.id
        return f"{name}: {told} off{until} {off.equals} per month"


class Share(msgspec.Struct):
    """What is left of one item, in minor units a month. `cycles`: how often a month it is charged."""

    item: Item
    price: Price
    left: Exact
    cycles: Exact


def in_force(
    discounts: Iterable[Discount], lookup: Lookup, profile: Profile, at: int, missing: Missing, owner: str
) -> list[Rebate]:
    """The discounts that the profile counts and that have not ended; notes what is not known of them."""
    found = []
    for discount in discounts if profile.discounts else ():
        whole: Discount | None = discount
        if discount.coupon is None and discount.id:
            whole = lookup.discount(discount.id)
        if whole is None:
            missing.discounts.add(discount.id)
            missing.subscriptions.add(owner)
            continue
        if whole.coupon is None or (whole.end is not None and at >= whole.end):
            continue  # nobody tells of it, or over
        if whole.embedded and whole.embedded.duration not in profile.discounts:
            continue
        try:
            coupon = lookup.coupon(whole.coupon)
        except Gone:
            coupon = _as_redeemed(whole, lookup)
            if coupon is None:
                missing.discounts.add(whole.id)
                missing.subscriptions.add(owner)
                continue
        if coupon is None:
            missing.coupons.add(whole.coupon)
        elif coupon.duration in profile.discounts:
            found.append(Rebate(coupon, whole.end))
    return found


def _as_redeemed(discount: Discount, lookup: Lookup) -> Coupon | None:
    """A coupon that was deleted, and is still in force where it was redeemed; None to ask for the discount.

    Raises Unpriceable when the discount does not tell enough of it either.
    """
    if discount.embedded and discount.embedded.applies_to is not None:
        return discount.embedded
    whole = lookup.discount(discount.id) if discount.id else discount
    if whole is None:
        return None
    if whole.embedded and whole.embedded.applies_to is not None:
        return whole.embedded
    raise Unpriceable(
        f"Coupon {discount.coupon} of discount {discount.id or '(without ID)'} was deleted in Stripe, and what "
        "it took off is not told any more."
    )


def take(rebate: Rebate, shares: list[Share], currency: str) -> Money:
    """Takes a rebate off what is left of the items that it covers. Gives what it took off a month, below zero."""
    covered = [share for share in shares if rebate.covers(share.price.product)]
    before = sum(share.left for share in covered)
    if rebate.coupon.percent_off is not None:
        rest = 1 - min(Fraction(parsed(rebate.coupon.percent_off)) / 100, Fraction(1))
    else:
        # Per invoice; where intervals are mixed, per invoice of the shortest.
        cycles = max((share.cycles for share in covered), default=0)
        off = rebate.coupon.amount_off.get(currency, 0) * cycles
        rest = 1 - min(Fraction(off) / before, Fraction(1)) if before > 0 else Fraction(1)
    for share in covered:
        share.left *= rest
    return Money(before * (rest - 1), currency)


def of_customer(subscription: Subscription, customer: Discount | None) -> tuple[Discount, ...]:
    """The discounts on a subscription as a whole."""
    return subscription.discounts or ((customer,) if customer else ())
