"""What counts as MRR: a profile, and the hook that may know better for some product.

The table of statuses and the profile `stripe` follow
docs.stripe.com/billing/subscriptions/analytics/glossary and the support pages on metric configuration.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from fractions import Fraction

import msgspec

from stream.settings import SettingError
from stream.stripe.shapes import Item, Subscription

# Subscriptions in any other status, of today or to come, bring nothing.
COUNTED_STATUSES = frozenset({"active", "past_due"})


class Profile(msgspec.Struct, frozen=True):
    """What is counted.

    `discounts` are the durations of coupons that lower MRR. `until_ended` counts a subscription until it
    ends, though it is set not to renew. `uncollected` counts one whose invoices are voided or written off
    while its collection is paused.
    """

    name: str
    discounts: frozenset[str]
    until_ended: bool
    uncollected: bool


# Stripe's own numbers: a discount for good lowers them, one that passes does not; a cancellation counts from
# the moment it is scheduled.
STRIPE = Profile("stripe", frozenset({"forever"}), until_ended=False, uncollected=True)
# What is really being charged. A discount of one invoice is no part of what recurs.
NET = Profile("net", frozenset({"forever", "repeating"}), until_ended=True, uncollected=False)

PROFILES = {profile.name: profile for profile in (STRIPE, NET)}


class Question(msgspec.Struct, frozen=True):
    """What a hook is asked: the MRR of one item before discounts, at a time in epoch seconds."""

    subscription: Subscription
    item: Item
    currency: str
    at: int


# Answers in minor units a month (int, Decimal or Fraction), or None: as Revstream would have it.
Hook = Callable[[Question], object]


def load_hook(path: str) -> Hook:
    """The function that `package.module:function` names. Raises SettingError when there is none."""
    module, _, name = path.partition(":")
    advice = "Set PRICING_HOOK to `package.module:function`, importable where Revstream runs."
    if not module or not name:
        raise SettingError(f"PRICING_HOOK is `{path}`, which names no function. {advice}")
    try:
        hook = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SettingError(f"PRICING_HOOK is `{path}`, which cannot be loaded: {error}. {advice}") from None
    if not callable(hook):
        raise SettingError(f"PRICING_HOOK is `{path}`, which is not a function. {advice}")
    return hook  # type: ignore[no-any-return]


def not_counted(subscription: Subscription, profile: Profile, at: int) -> str | None:
    """Why a subscription brings nothing, for a person; None when it counts."""
    if subscription.status not in COUNTED_STATUSES:
        return f"status is {subscription.status}"
    if not profile.until_ended and _ends_with_its_period(subscription):
        return "it is set not to renew"
    pause = subscription.pause_collection
    if pause is None or profile.uncollected or pause.behavior == "keep_as_draft":
        return None
    over = pause.resumes_at is not None and at >= pause.resumes_at
    return None if over else f"collection is paused ({pause.behavior})"


def _ends_with_its_period(subscription: Subscription) -> bool:
    """Whether no further period follows: an end set for some later period is not yet a cancellation."""
    if subscription.cancel_at_period_end:
        return True
    end = max((item.period_end for item in subscription.items if item.period_end is not None), default=None)
    return subscription.cancel_at is not None and (end is None or subscription.cancel_at <= end)


def in_trial(item: Item, at: int) -> bool:
    """Whether an item of an active subscription is in a trial of its own (2026-09-30.endive)."""
    return item.trial_end is not None and at < item.trial_end


def answered(answer: object) -> Fraction | None:
    """A hook's answer as an exact amount. Raises TypeError for a float, which is not one, and the like."""
    if answer is None:
        return None
    if isinstance(answer, bool | float) or not hasattr(answer, "as_integer_ratio"):
        raise TypeError(f"answered with a {type(answer).__name__}; int, Decimal or Fraction are exact")
    return Fraction(*answer.as_integer_ratio())
