"""What happened to a subscription, as one event tells it. Pure.

An update names what it changed (`previous_attributes`), so the subscription before and after are known from the
event alone, in whatever order events come. A movement's name is made of Stripe's IDs and of what was before and
after: a change told by two events is one movement.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from hashlib import blake2b
from typing import Literal

import msgspec

from agents.events import SUBSCRIPTION, Event
from agents.pricing import Mrr
from stream.stripe.shapes import Item, Subscription
from tables.subscriptions import TAKEN_UP

Kind = Literal[
    "new",
    "trial_started",
    "trial_converted",
    "upgrade",
    "downgrade",
    "seats",
    "plan",
    "interval",
    "paused",
    "resumed",
    "cancellation_scheduled",
    "cancellation_withdrawn",
    "cancelled",
    "expired",
    "unpaid",
    "recovered",
    "renewed",
    "reactivated",
    "coupon",
    "proration",
    "details",
]
Change = Literal["new", "expansion", "contraction", "churn", "reactivation", "none"]

_PAYING = frozenset({"active", "past_due"})


class Movement(msgspec.Struct, frozen=True, dict=True):
    """One thing that happened to a subscription: how it was (None: it was not there), how it is, and what each is
    worth. `at` is Stripe's time in epoch seconds."""

    was: Subscription | None
    now: Subscription
    at: int
    before: Mrr | None
    after: Mrr

    @property
    def id(self) -> str:
        """A name that both tellings of one change have, and no other change."""
        facts = [self.at, None if self.was is None else _facts(self.was), _facts(self.now)]
        digest = blake2b(msgspec.json.encode(facts), digest_size=6).hexdigest()
        return f"{self.now.id}:{digest}"

    @property
    def kind(self) -> Kind:
        """What was changed, in the field's words."""
        return _kind(self.was, self.now, self.before, self.after)

    @cached_property
    def change(self) -> Change:
        """What it means for MRR: from nothing is `new` for a subscription that had not been taken up, else
        `reactivation`."""
        return _change(self.was, self.before, self.after)

    @property
    def renewed(self) -> tuple[Item, ...]:
        """The items whose next period began, which may come along with anything else."""
        return _renewed(self.was, self.now) if self.was is not None else ()


def movement(event: Event, value: Callable[[Subscription, int], Mrr]) -> Movement | None:
    """What an event tells; None for one that tells of no change (`trial_will_end`, `paused`, …: the change itself
    comes as `updated`). `value` gives a subscription's MRR at a time."""
    if event.family != SUBSCRIPTION:
        return None
    at = event.ref.created
    after: Subscription = event.object
    match event.ref.type.rpartition(".")[2]:
        case "created":
            before = None
        case "updated" if event.before is not None:
            before = event.before
        case "deleted":
            before = as_it_ran(after)
        case _:
            return None
    was = value(before, _last_held(before, after, at)) if before else None
    return Movement(before, after, at, was, value(after, at))


def _last_held(before: Subscription, after: Subscription, at: int) -> int:
    """When the subscription last was as it was before: an item's trial is over by the time that Stripe tells so."""
    ends = [item.trial_end for item in before.items if item.trial_end is not None and item.trial_end <= at]
    if not ends:
        return at
    still = {item.trial_end for item in after.items}
    return min([end - 1 for end in ends if end not in still], default=at)


def as_it_ran(ended: Subscription) -> Subscription:
    """A subscription as it was before it ended: Stripe does not tell that. What was in trial still is."""
    if ended.status == "incomplete_expired":
        return msgspec.structs.replace(ended, status="incomplete")
    if ended.status != "canceled":
        return ended
    return msgspec.structs.replace(ended, status="active" if was_taken_up(ended) else "trialing")


def was_taken_up(it: Subscription) -> bool:
    """Whether it has been paid for, as far as it tells itself. One that ended did not do so out of its trial if a
    period of its own came after that."""
    if it.status != "canceled":
        return it.status in TAKEN_UP
    return it.trial_end is None or (it.period_start is not None and it.period_start >= it.trial_end)


def _kind(before: Subscription | None, after: Subscription, was: Mrr | None, now: Mrr) -> Kind:
    if before is None:
        return "trial_started" if after.status == "trialing" else "new"
    return (
        _by_status(before, after)
        or _by_pause(before, after)
        or _by_end(before, after)
        or _by_items(before, after, was, now)
        or ("renewed" if _renewed(before, after) else None)
        or ("coupon" if before.discounts != after.discounts else None)
        or ("proration" if before.latest_invoice != after.latest_invoice else None)
        or "details"
    )


def _by_status(before: Subscription, after: Subscription) -> Kind | None:
    match before.status, after.status:
        case was, now if was == now:
            return None
        case _, "canceled":
            return "cancelled"
        case _, "incomplete_expired":
            return "expired"
        case _, "paused":
            return "paused"
        case "paused", _:
            return "resumed"
        case _, "trialing":
            return "trial_started"
        case "trialing", _:
            return "trial_converted"
        case "incomplete", "active" | "past_due":
            return "new"
        case (("canceled" | "incomplete_expired"), _):
            return "reactivated"
        case _, "unpaid":
            return "unpaid"
        case (("unpaid" | "past_due"), "active"):
            return "recovered"
    return None


def _by_pause(before: Subscription, after: Subscription) -> Kind | None:
    if (before.pause_collection is None) == (after.pause_collection is None):
        return None
    return "paused" if before.pause_collection is None else "resumed"


def _by_end(before: Subscription, after: Subscription) -> Kind | None:
    was = before.cancel_at_period_end or before.cancel_at is not None
    now = after.cancel_at_period_end or after.cancel_at is not None
    if was == now:
        return None
    return "cancellation_scheduled" if now else "cancellation_withdrawn"


def _by_items(before: Subscription, after: Subscription, was: Mrr | None, now: Mrr) -> Kind | None:
    if _terms(before) == _terms(after):
        return None
    if _intervals(before) != _intervals(after):
        return "interval"
    if _prices(before) == _prices(after):
        return "seats"
    more = now.worth.exact - (was.worth.exact if was else 0)
    return "upgrade" if more > 0 else "downgrade" if more < 0 else "plan"


def _renewed(before: Subscription, after: Subscription) -> tuple[Item, ...]:
    """The items whose next period began. Each interval has periods of its own where they are mixed, and one that is
    changed in the middle of its period is not renewed."""
    if before.status not in _PAYING or after.status not in _PAYING:
        return ()
    ends: dict[tuple[str | None, int], int] = {}
    for item in before.items:
        if item.period_end is not None and item.trial_end is None:
            rhythm = (item.price.interval, item.price.interval_count)
            ends[rhythm] = min(item.period_end, ends.get(rhythm, item.period_end))
    return tuple(
        item
        for item in after.items
        if item.period_start is not None
        and (end := ends.get((item.price.interval, item.price.interval_count))) is not None
        and item.period_start >= end
    )


def _change(before: Subscription | None, was: Mrr | None, now: Mrr) -> Change:
    earlier, later = (was.money.exact if was else 0), now.money.exact
    if was and was.money.currency != now.money.currency and later:
        return "new"
    if earlier == later:
        return "none"
    if not earlier:
        return "reactivation" if before and before.status in TAKEN_UP | {"paused"} else "new"
    if not later:
        return "churn"
    return "expansion" if later > earlier else "contraction"


def _terms(it: Subscription) -> tuple[object, ...]:
    return tuple(sorted((item.price.id, item.quantity or 0, item.id) for item in it.items))


def _prices(it: Subscription) -> tuple[str, ...]:
    return tuple(sorted(item.price.id for item in it.items))


def _intervals(it: Subscription) -> set[tuple[str | None, int]]:
    return {(item.price.interval, item.price.interval_count) for item in it.items}


def _facts(it: Subscription) -> list[object]:
    discounts = [one.id or one.coupon for one in it.discounts]
    return [it.status, _terms(it), discounts, it.pause_collection is not None, it.ends_at, it.period_start]
