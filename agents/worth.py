"""What a subscription is worth, as the settings count it and as far as Stripe has told."""

from __future__ import annotations

from functools import lru_cache

from agents.pricing import PROFILES, Hook, Mrr, Unknown, Unpriceable, load_hook, mrr
from agents.touched import Touched, Wanted
from stream.stripe.shapes import Discount, Subscription

_hook = lru_cache(maxsize=8)(load_hook)


def worth(
    touched: Touched, subscription: Subscription, at: int, customer_discount: Discount | None = None
) -> Mrr:
    """Its MRR at a time in epoch seconds. Raises Wanted for what is to be fetched first, Unpriceable when no
    fetch would help."""
    asked = (id(subscription), at, customer_discount is not None)
    known = touched.worths.get(asked)
    if known is None:
        result = _worked_out(touched, subscription, at, customer_discount)
        known = touched.worths[asked] = (subscription, result)
    return known[1]


def _worked_out(
    touched: Touched, subscription: Subscription, at: int, customer_discount: Discount | None
) -> Mrr:
    if subscription.more_items:
        raise Unpriceable(
            f"Stripe has told only the first items of subscription {subscription.id}, so its amount then is "
            "not known. The Account follows once the whole subscription has been fetched."
        )
    pricing = touched.settings.pricing
    hook: Hook | None = _hook(pricing.hook) if pricing.hook else None
    result = mrr(subscription, touched.lookup, PROFILES[pricing.profile], at, customer_discount, hook)
    if isinstance(result, Unknown):
        raise Wanted(result)
    return result
