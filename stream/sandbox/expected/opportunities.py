"""The Opportunities that the simulated lives should have made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from stream.sandbox.expected.customers import Record
from stream.sandbox.expected.subscriptions import Told, date, every, money, monthly, worth
from stream.sandbox.stripe.objects import Subscription

TAKEN_UP = ("active", "past_due", "unpaid")


def keyed(records: Iterable[Record]) -> dict[str, Record]:
    """By what each is about. Of those of one day and kind the smaller amount comes first."""
    found: dict[str, list[Record]] = defaultdict(list)
    for it in records:
        key = f"{it['Stripe_Subscription_Id__c']} {it['Stripe_Movement__c']} {it['CloseDate']}"
        found[key].append(it)
    return {
        f"{key} #{n}": it
        for key, several in found.items()
        for n, it in enumerate(sorted(several, key=lambda it: (it["Amount"], it["Stripe_Interval__c"])), 1)
    }


def deals(told: list[Told]) -> Iterable[Record]:
    """Those of one customer."""
    for one in told:
        yield _business(one, told)
        yield from changes(one)
        if ending := _ending(one, told):
            yield ending


def start(one: Told) -> Subscription | None:
    """As it was taken up, if it was."""
    return next((step.after for step in one.steps if step.after.status in TAKEN_UP), None)


def _business(one: Told, told: list[Told]) -> Record:
    now, begun = one.now, start(one)
    if begun is not None:
        at, stage, it = max(begun.created, begun.trial_end or 0), "Closed Won", begun
    elif now.status in ("canceled", "incomplete_expired"):
        at, stage, it = now.ended_at or 0, "Closed Lost", now
    elif now.status in ("trialing", "paused"):
        at, stage, it = now.trial_end or now.created, "Negotiation/Review", now
    else:
        at, stage, it = now.created, "Proposal/Price Quote", now
    return _record(it, _newness(one, told), stage, at, worth(it))


def _newness(one: Told, told: list[Told]) -> str:
    me = one.now
    earlier = [
        other.now
        for other in told
        if start(other) and (other.now.created, other.now.id) < (me.created, me.id)
    ]
    if not earlier:
        return "new"
    still = any(other.ended_at is None or other.ended_at > me.created for other in earlier)
    return "additional" if still else "reactivation"


def changes(one: Told) -> Iterable[Record]:
    """What it brought more or less, and its renewals."""
    for step in one.steps:
        before, after = step.before, step.after
        if before is None or after.status == "canceled":
            continue
        was, now = monthly(before), monthly(after)
        if was and now and was != now:
            kind = "expansion" if now > was else "contraction"
            yield _record(after, kind, "Closed Won", step.at, now - was)
        both = before.status in ("active", "past_due") and after.status in ("active", "past_due")
        if both and (began := _another_year(before, after)):
            yield _record(after, "renewal", "Closed Won", began, now)


def _another_year(before: Subscription, after: Subscription) -> int | None:
    """When an annual item's next year began; the first one after a trial of its own is no renewal."""
    ends = [item.period_end for item in before.items if item.price.interval == "year" and not item.trial_end]
    starts = [item.period_start for item in after.items if item.price.interval == "year"]
    return next((start for start in starts if ends and start >= min(ends)), None)


def _ending(one: Told, told: list[Told]) -> Record | None:
    now, over = one.now, one.now.ended_at
    if over is None or start(one) is None:
        return None
    others = [other.now for other in told if other is not one and start(other)]
    still = any(it.created <= over and (it.ended_at is None or it.ended_at > over) for it in others)
    movement, stage = ("contraction", "Closed Won") if still else ("churn", "Closed Lost")
    return _record(now, movement, stage, over, -worth(now))


_TYPES = {
    "new": "New Customer",
    "additional": "Existing Customer - Upgrade",
    "reactivation": "New Customer",
    "expansion": "Existing Customer - Upgrade",
    "contraction": "Existing Customer - Downgrade",
    "churn": "Existing Customer - Downgrade",
    "renewal": "Existing Customer - Replacement",
}


def two_decimals(amount: float) -> float:
    """As Amount, which has two decimals in an org as delivered, keeps what some currencies have three of."""
    return float(Decimal(repr(amount)).quantize(Decimal("0.01"), ROUND_HALF_UP))


def _record(it: Subscription, movement: str, stage: str, at: int, minor: Fraction) -> Record:
    return {
        "StageName": stage,
        "CloseDate": date(at),
        "Type": _TYPES[movement],
        "Amount": two_decimals(money(minor * 12, it.currency)),
        "Stripe_ARR__c": money(minor * 12, it.currency),
        "Stripe_MRR__c": money(minor, it.currency),
        "Stripe_Currency__c": it.currency.upper(),
        "Stripe_Interval__c": every(it),
        "Stripe_Movement__c": movement,
        "Stripe_Subscription_Id__c": it.id,
    }
