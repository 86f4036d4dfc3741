"""What an Account says of the customer's subscriptions: all of it follows from what is remembered.

Where there are several, plan, tier and interval are of the one that brings most; seats and amounts are of all
together. Amounts are of the customer's currency: those of others are never added, and stand in `mrr_by_currency`.
The moment is that of the newest event of the customer, never this machine's clock.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from agents import plans
from agents.pricing import Money, Mrr, Unknown, by_currency
from agents.touched import Touched, Wanted, once
from agents.worth import worth
from stream.records import Scalar
from stream.stripe.shapes import Price, Product, Subscription

# The rest has ended, or has not begun.
RUNNING = frozenset({"trialing", "active", "past_due", "unpaid", "paused"})


def _all(touched: Touched) -> list[Subscription]:
    return [held.newest.body for held in touched.state.subscriptions.by_id.values()]


@once
def running(touched: Touched) -> list[Subscription]:
    """The subscriptions that have begun and not ended."""
    return [it for it in _all(touched) if it.status in RUNNING]


def value(touched: Touched, it: Subscription) -> Mrr:
    """A subscription's MRR now. Raises Wanted, Unpriceable."""
    customer = touched.state.mapping.customer
    discount = customer.newest.body.discount if customer else None
    return worth(touched, it, touched.state.version, discount)


@once
def _main(touched: Touched) -> Subscription | None:
    """The one that brings most; of equal ones the newest; the last that was there when none runs."""
    alive = running(touched)
    if alive:
        return max(alive, key=lambda it: (value(touched, it).worth.exact, it.created or 0, it.id))
    return max(_all(touched), key=lambda it: (it.ended_at or it.created or 0, it.id), default=None)


@once
def totals(touched: Touched) -> dict[str, Money]:
    """MRR by currency; a currency in which nothing comes in any more has 0."""
    told = by_currency(value(touched, it) for it in _all(touched) if it.currency)
    assert not isinstance(told, Unknown)  # noqa: S101  `value` raises Wanted instead
    return told


def _mrr(touched: Touched) -> Money | None:
    sums = totals(touched)
    customer = touched.state.mapping.customer
    wanted = customer.newest.body.currency if customer else None
    if wanted not in sums:
        wanted = max(sums, key=lambda currency: (sums[currency].minor, currency), default=None)
    return sums[wanted] if wanted else None


def _amount(money: Money | None) -> float | None:
    return None if money is None else float(money.rounded)


def _seats(touched: Touched) -> int | None:
    told = [
        item.quantity or 0
        for it in running(touched)
        for item in it.items
        if item.price.usage_type == "licensed"
    ]
    return sum(told) if told else None


def _first(touched: Touched, of: Callable[[Subscription], int | None]) -> str | None:
    """The earliest of a date that the running subscriptions have."""
    told = [at for it in running(touched) if (at := of(it)) is not None]
    return datetime.fromtimestamp(min(told), UTC).date().isoformat() if told else None


def _of_main(tell: Callable[[Touched, Subscription], Scalar]) -> Callable[[Touched], Scalar]:
    def told(touched: Touched) -> Scalar:
        main = _main(touched)
        return tell(touched, main) if main else None

    return told


@once
def _products(touched: Touched) -> dict[str, Product | None]:
    """Of the one that brings most: the products of its prices, as they now are and as far as Stripe tells them.
    Raises Wanted, of all that have not been asked for."""
    main = _main(touched)
    told: dict[str, Product | None] = {}
    wanted: list[str] = []
    for item in main.items if main else ():
        try:
            told[item.price.id] = touched.lookup.product(item.price.id)
        except Wanted as want:
            wanted += want.unknown.prices
    if wanted:
        raise Wanted(Unknown(prices=tuple(sorted(set(wanted)))))
    return told


def _plan(touched: Touched, it: Subscription) -> str:
    """The products' names; else as `agents.plans` says."""
    products = _products(touched)
    names = []
    for item in it.items:
        product = products[item.price.id]
        names.append(product.name if product and product.name else plans.name_of(item.price))
    return " + ".join(dict.fromkeys(names))[:255] or it.id


def _tier(touched: Touched, it: Subscription) -> str | None:
    """`tier` in the metadata of price or product, else the price's lookup key, else its nickname."""
    for item in it.items:
        if told := _tier_of(touched, item.price):
            return told[:255]
    return None


def _tier_of(touched: Touched, price: Price) -> str | None:
    product = _products(touched)[price.id]
    told = price.metadata.get("tier") or (product.metadata.get("tier") if product else None)
    return told or price.lookup_key or price.nickname


def _renews(it: Subscription) -> int | None:
    return None if it.ends_at is not None or it.status == "paused" else it.period_end


SOURCES: dict[str, Callable[[Touched], Scalar]] = {
    "plan": _of_main(_plan),
    "tier": _of_main(_tier),
    "interval": _of_main(lambda _, it: plans.interval(it)),
    "subscription_status": _of_main(lambda _, it: it.status),
    "seats": _seats,
    "mrr": lambda touched: _amount(_mrr(touched)),
    "arr": lambda touched: _amount(mrr * 12 if (mrr := _mrr(touched)) else None),
    "mrr_by_currency": lambda touched: (
        ", ".join(money.text for _, money in sorted(totals(touched).items())) or None
    ),
    "trial_end": lambda touched: _first(
        touched, lambda it: it.trial_end if it.status == "trialing" else None
    ),
    "next_renewal": lambda touched: _first(touched, _renews),
    "cancels_at": lambda touched: _first(touched, lambda it: it.ends_at),
}
