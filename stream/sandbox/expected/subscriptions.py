"""What became of each subscription, by the simulator's truth, and what an Account says of it.

Amounts are Stripe's MRR: list price less coupons without end, nothing for what is in trial, ended or to end.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from fractions import Fraction

import msgspec

from stream.sandbox.expected.customers import Record
from stream.sandbox.stripe import pricing
from stream.sandbox.stripe.objects import Customer, Discount, Item, Product, Subscription, key_of
from stream.sandbox.stripe.world import World

COUNTED = ("active", "past_due")
GONE = ("canceled", "incomplete_expired", "incomplete")
_WORDS = {("month", 1): "monthly", ("month", 3): "quarterly", ("month", 6): "half-yearly", ("year", 1): "annual",
          ("week", 1): "weekly", ("day", 1): "daily"}  # fmt: skip
_HUNDREDTHS = ("isk", "ugx")


class Step(msgspec.Struct, frozen=True):
    """One true change of a subscription: what it was (None: it began), what it is, and when."""

    at: int
    before: Subscription | None
    after: Subscription


class Told(msgspec.Struct, frozen=True):
    """One subscription's steps in true order."""

    steps: tuple[Step, ...]

    @property
    def now(self) -> Subscription:
        """As it ended up."""
        return self.steps[-1].after


def lives(world: World) -> dict[str, list[Told]]:
    """All subscriptions, by the routing key of their customer."""
    steps: dict[tuple[str, str], list[Step]] = defaultdict(list)
    for event in world.events:
        thing = event.thing
        if isinstance(thing, Subscription) and event.type.split(".")[-1] in ("created", "updated", "deleted"):
            key = key_of(thing.account, thing.customer)
            known = steps[key, thing.id]
            before = event.before if isinstance(event.before, Subscription) else None
            if event.type.endswith("deleted"):
                before = known[-1].after
            known.append(Step(event.created, before, thing))
    found: dict[str, list[Told]] = defaultdict(list)
    for (key, _), told in steps.items():
        found[key].append(Told(tuple(told)))
    return found


def worth(it: Subscription, also: Discount | None = None) -> Fraction:
    """What it would bring a month if it counted, in minor units."""
    # What is in a trial of its own brings nothing yet.
    left = [(item, pricing.monthly([item]) if item.trial_end is None else Fraction(0)) for item in it.items]
    for discount in it.discounts or ((also,) if also else ()):
        if discount.coupon.duration == "forever":
            left = _less(left, discount, it.currency)
    return sum((amount for _, amount in left), Fraction(0))


def _less(
    left: list[tuple[Item, Fraction]], discount: Discount, currency: str
) -> list[tuple[Item, Fraction]]:
    coupon, total = discount.coupon, sum(amount for _, amount in left)
    if coupon.percent_off is not None:
        rest = 1 - Fraction(str(coupon.percent_off)) / 100
    elif coupon.currency == currency and total:
        often = max(pricing.monthly([_one(item)]) for item, amount in left if amount)
        rest = 1 - min(Fraction(coupon.amount_off or 0) * often / total, Fraction(1))
    else:
        rest = Fraction(1)
    return [(item, amount * rest) for item, amount in left]


def _one(item: Item) -> Item:
    """An item that costs one minor unit a period: what it brings a month is how often it is billed."""
    price = msgspec.structs.replace(item.price, unit_amount="1", tiers_mode=None, tiers=(), divide_by=None)
    return msgspec.structs.replace(item, price=price, quantity=1)


def monthly(it: Subscription, also: Discount | None = None) -> Fraction:
    """Its MRR in minor units."""
    if it.status not in COUNTED or it.cancel_at_period_end:
        return Fraction(0)
    return worth(it, also)


def money(minor: Fraction, currency: str) -> float:
    """In units of the currency, rounded half away from zero to its decimals."""
    places = pricing_decimals(currency)
    units = minor / (100 if currency in _HUNDREDTHS else 10**places)
    scaled = int(abs(units) * 10**places + Fraction(1, 2))
    return float(Fraction(scaled if units >= 0 else -scaled, 10**places))


def pricing_decimals(currency: str) -> int:
    """How many decimals the currency has."""
    if currency in ("jpy", "krw", "clp", "vnd", *_HUNDREDTHS):
        return 0
    return 3 if currency in ("kwd", "bhd", "jod", "omr", "tnd") else 2


def date(at: int) -> str:
    """The day in UTC."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def every(it: Subscription) -> str | None:
    """How often it is billed, in words."""
    words = {
        _WORDS.get((item.price.interval, item.price.interval_count))
        or f"every {item.price.interval_count} {item.price.interval}s"
        for item in it.items
    }
    return ", ".join(sorted(words)) or None


def account(world: World, customer: Customer, told: list[Told]) -> Record:
    """What the Account says of all of a customer's subscriptions."""
    everything = [one.now for one in told]
    alive = [it for it in everything if it.status not in GONE]
    main: Subscription | None
    if alive:
        main = max(
            alive, key=lambda it: (worth(it, customer.discount) / _unit(it.currency), it.created, it.id)
        )
    else:
        main = max(everything, key=lambda it: (it.ended_at or it.created, it.id), default=None)
    sums: dict[str, Fraction] = defaultdict(Fraction)
    for it in everything:
        sums[it.currency] += monthly(it, customer.discount)
    currency = (
        customer.currency if customer.currency in sums else max(sums, key=lambda c: (sums[c], c), default="")
    )
    seats = [item.quantity or 0 for it in alive for item in it.items if item.price.usage_type == "licensed"]
    trials = [it.trial_end for it in alive if it.status == "trialing" and it.trial_end]
    renewals = [
        item.period_end
        for it in alive
        if not it.cancel_at_period_end and it.status != "paused"
        for item in it.items
    ]
    ends = [it.cancel_at for it in alive if it.cancel_at]
    return {
        "Stripe_Plan__c": _plan(world, main) if main else None,
        "Stripe_Interval__c": every(main) if main else None,
        "Stripe_Status__c": main.status if main else None,
        "Stripe_Seats__c": sum(seats) if seats else None,
        "Stripe_MRR__c": money(sums[currency], currency) if currency else None,
        "Stripe_ARR__c": money(sums[currency] * 12, currency) if currency else None,
        "Stripe_Trial_End__c": date(min(trials)) if trials else None,
        "Stripe_Next_Renewal__c": date(min(renewals)) if renewals else None,
        "Stripe_Cancels_At__c": date(min(ends)) if ends else None,
    }


def _unit(currency: str) -> int:
    return 100 if currency in _HUNDREDTHS else 10 ** pricing_decimals(currency)


def _plan(world: World, it: Subscription) -> str:
    names = []
    for item in it.items:
        product = world.things[key_of(it.account, item.price.product)]
        assert isinstance(product, Product)  # noqa: S101
        names.append(product.name)
    return " + ".join(dict.fromkeys(names))
