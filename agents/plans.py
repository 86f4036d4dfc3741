"""How a subscription's plan is called: made of the subscription alone, so it does not matter when."""

from __future__ import annotations

from functools import lru_cache

from agents.pricing import Money, parsed
from stream.stripe.shapes import Price, Subscription

_EVERY = {
    ("month", 1): "monthly",
    ("month", 3): "quarterly",
    ("month", 6): "half-yearly",
    ("year", 1): "annual",
    ("week", 1): "weekly",
    ("day", 1): "daily",
}


def plan(subscription: Subscription) -> str:
    """The prices that make it up: `Team`, `Team + Support`, `20.00 USD monthly`."""
    names = dict.fromkeys(name_of(item.price) for item in subscription.items)
    return " + ".join(names) or subscription.id


def name_of(price: Price) -> str:
    """Its nickname, else what it costs, else its ID."""
    if price.nickname:
        return price.nickname
    if price.unit_amount is not None:
        return f"{_amount(price.unit_amount, price.currency)} {every(price)}".strip()
    return price.id


@lru_cache(maxsize=2000)  # there are few prices, and each is named by every record of every subscription
def _amount(unit: str, currency: str) -> str:
    return Money(parsed(unit), currency).text


def interval(subscription: Subscription) -> str | None:
    """How often it is billed; several in alphabetical order where they are mixed."""
    told = sorted({every(item.price) for item in subscription.items if item.price.interval})
    return ", ".join(told) or None


def every(price: Price) -> str:
    """`monthly`, `annual`, `every 2 weeks`; empty for what does not recur."""
    if price.interval is None:
        return ""
    told = _EVERY.get((price.interval, price.interval_count))
    return told or f"every {price.interval_count} {price.interval}s"
