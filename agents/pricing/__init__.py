"""What a subscription is worth a month (MRR) and a year (ARR, twelve times that), exactly.

    result = mrr(subscription, lookup, STRIPE, at)
    if isinstance(result, Unknown): ...            # fetch what it names, then ask again
    result.money.text, result.arr.text, result.lines

Every rule stands with a worked example in docs/reference/pricing.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import msgspec

from agents.pricing.costs import Cost, Unpriceable, cost, times_a_month
from agents.pricing.discounts import Missing, Rebate, Share, Unknown, in_force, of_customer, take
from agents.pricing.money import Exact, Money, parsed
from agents.pricing.profiles import (
    NET,
    PROFILES,
    STRIPE,
    Hook,
    Profile,
    Question,
    answered,
    in_trial,
    load_hook,
    not_counted,
)
from stream.stripe.catalogue import Gone, Lookup
from stream.stripe.shapes import Discount, Item, Price, Subscription

__all__ = [
    "NET",
    "PROFILES",
    "STRIPE",
    "Hook",
    "Line",
    "Money",
    "Mrr",
    "Profile",
    "Question",
    "Unknown",
    "Unpriceable",
    "by_currency",
    "load_hook",
    "mrr",
    "parsed",
]


class Charge(msgspec.Struct, frozen=True):
    """What a period of an item costs; `name` is what the item's price is called."""

    name: str
    cost: Cost

    def says(self, monthly: Money) -> str:
        """For a person: `Team: 3 × 120.00 USD per year = 360.00 USD, a month = 30.00 USD`."""
        period = Money(self.cost.amount, monthly.currency)
        said = f"{self.name}: {self.cost.arithmetic} {_every(self.cost.price)} {period.equals}"
        return said if monthly == period else f"{said}, a month {monthly.equals}"


class Line(msgspec.Struct, frozen=True):
    """One step of the arithmetic: what it adds a month (discounts take away), and why.

    `item` is empty for a discount on the whole subscription.
    """

    item: str
    money: Money
    why: Charge | Rebate | str

    @property
    def says(self) -> str:
        """For a person. Nobody reads it of the thousands that a second of the projector makes, only of one that is
        to be explained: so it is not written before it is asked for."""
        return self.why if isinstance(self.why, str) else self.why.says(self.money)


class Mrr(msgspec.Struct, frozen=True):
    """What a subscription brings a month. `worth` is what its lines sum up to; `not_counted` says why that
    is not its MRR (`status is trialing`, …), which then is 0."""

    worth: Money
    lines: tuple[Line, ...] = ()
    not_counted: str | None = None

    @property
    def money(self) -> Money:
        """The MRR."""
        return Money(0, self.worth.currency) if self.not_counted else self.worth

    @property
    def arr(self) -> Money:
        """Twelve times the MRR."""
        return self.money * 12

    @property
    def arithmetic(self) -> tuple[str, ...]:
        """All lines and the result, for a person."""
        end = f"MRR {self.money.text}, ARR {self.arr.text}"
        why = f" ({self.not_counted}; worth {self.worth.text})" if self.not_counted else ""
        return (*(line.says for line in self.lines), end + why)


def mrr(
    subscription: Subscription,
    lookup: Lookup,
    profile: Profile,
    at: int,
    customer_discount: Discount | None = None,
    hook: Hook | None = None,
) -> Mrr | Unknown:
    """The MRR of a subscription at a time in epoch seconds, which decides what discount or trial is over.

    Unknown when something has to be fetched first. Raises Unpriceable for what no fetch would help.
    """
    missing = Missing()
    if subscription.more_items:
        missing.subscriptions.add(subscription.id)
    currency = subscription.currency or ""
    shares: list[Share] = []
    lines: list[Line] = []
    for item in subscription.items:
        share, line = _item(item, subscription, currency, lookup, at, hook, missing)
        lines.append(line)
        for rebate in in_force(item.discounts, lookup, profile, at, missing, subscription.id):
            lines.append(Line(item.id, take(rebate, [share], currency), rebate))
        shares.append(share)
    whole = of_customer(subscription, customer_discount)
    for rebate in in_force(whole, lookup, profile, at, missing, subscription.id):
        if rebate.coupon.applies_to:
            _find_products(shares, lookup, missing)
        lines.append(Line("", take(rebate, shares, currency), rebate))
    if missing:
        return missing.known()
    worth = sum([share.left for share in shares])
    return Mrr(Money(worth, currency), tuple(lines), not_counted(subscription, profile, at))


def by_currency(results: Iterable[Mrr | Unknown]) -> dict[str, Money] | Unknown:
    """The MRR of several subscriptions, per currency; Unknown, of all together, if one of them is.

    A currency whose MRR is 0 is there too, so that a customer who left is seen to have left.
    """
    totals: dict[str, Money] = {}
    missing = Missing()
    for result in results:
        if isinstance(result, Unknown):
            missing.prices.update(result.prices)
            missing.coupons.update(result.coupons)
            missing.discounts.update(result.discounts)
            missing.subscriptions.update(result.subscriptions)
        else:
            money = result.money
            totals[money.currency] = totals.get(money.currency, money * 0) + money
    return missing.known() if missing else totals


def _item(
    item: Item, subscription: Subscription, currency: str, lookup: Lookup, at: int, hook: Hook | None,
    missing: Missing,
) -> tuple[Share, Line]:  # fmt: skip
    """What one item brings a month before discounts."""
    price = item.price
    name = price.nickname or price.id

    def brings(monthly: Exact, why: Charge | str) -> tuple[Share, Line]:
        cycles = times_a_month(price) if monthly and price.interval else 0
        said = f"{name}: {why}" if isinstance(why, str) else why
        return Share(item, price, monthly, cycles), Line(item.id, Money(monthly, currency), said)

    if in_trial(item, at):
        return brings(0, "in its own trial, brings nothing yet")
    if hook and (own := _asked(hook, Question(subscription, item, currency, at))) is not None:
        return brings(own, f"the pricing hook says {Money(own, currency).text} per month")
    if price.usage_type == "metered":
        return brings(0, "metered, nothing is known beforehand")
    if price.interval is None:
        return brings(0, "not recurring")
    if _lacks(price, currency):
        known = _fetched(price, lookup)
        if known is None:
            missing.prices.add(price.id)
            return brings(0, "not known yet")
        price = known
        if _lacks(price, currency):
            raise Unpriceable(
                f"Stripe's API tells no amount in {currency.upper()} or no tiers for price {price.id} "
                f"of subscription {subscription.id}."
            )
    period = cost(price, 1 if item.quantity is None else item.quantity, currency)
    return brings(period.amount * times_a_month(price), Charge(name, period))


def _find_products(shares: list[Share], lookup: Lookup, missing: Missing) -> None:
    """Before 2018-02-05 a plan was its own product, and old payloads do not name the one it has now."""
    for share in shares:
        if share.price.product is None:
            known = _fetched(share.price, lookup)
            if known is None:
                missing.prices.add(share.price.id)
            else:
                share.price = known


def _fetched(price: Price, lookup: Lookup) -> Price | None:
    try:
        return lookup.price(price.id)
    except Gone:
        raise Unpriceable(f"Price {price.id} was deleted in Stripe, and its tiers with it.") from None


def _lacks(price: Price, currency: str) -> bool:
    """Whether the price's tiers, or its amounts in the currency, are not told."""
    if currency != price.currency:
        option = price.options.get(currency)
        return option is None or (price.billing_scheme == "tiered" and not option.tiers)
    return price.billing_scheme == "tiered" and not price.tiers


def _asked(hook: Hook, question: Question) -> Fraction | None:
    try:
        return answered(hook(question))
    except Exception as error:
        raise Unpriceable(
            f"The pricing hook failed on price {question.item.price.id} of subscription "
            f"{question.subscription.id}: {type(error).__name__}: {error}."
        ) from error


def _every(price: Price) -> str:
    count = price.interval_count
    return f"per {price.interval}" if count == 1 else f"every {count} {price.interval}s"
