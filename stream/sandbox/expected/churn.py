"""Who has left, by the simulator's truth: what their Accounts say, what became of the deals that people had open,
and who is to be won back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stream.sandbox.expected.customers import Record
from stream.sandbox.expected.opportunities import TAKEN_UP
from stream.sandbox.expected.subscriptions import Told, date, money, worth
from stream.sandbox.salesforce import identifiers
from stream.sandbox.stripe.objects import Subscription

# The first Campaign of a new org.
CAMPAIGN = identifiers.make("701", 1)
# Deals that people had open in Salesforce before the first event.
BEFORE = "2026-01-15T09:00:00.000+0000"
_KINDS = {"upsell": "Existing Customer - Upgrade", "new site": "New Customer"}

_WORDS = {
    "too_expensive": "Too expensive",
    "missing_features": "Some features are missing",
    "switched_service": "Switched to a different service",
    "unused": "Not used enough",
    "low_quality": "Quality was less than expected",
}


def left(told: Iterable[Told]) -> Subscription | None:
    """The subscription with whose end the customer left."""
    everything = list(told)
    if any(one.now.status not in ("canceled", "incomplete_expired", "incomplete") for one in everything):
        return None
    paid = [one.now for one in everything if any(step.after.status in TAKEN_UP for step in one.steps)]
    return max((it for it in paid if it.ended_at), key=lambda it: (it.ended_at or 0, it.id), default=None)


def reason(it: Subscription) -> str:
    """Why it ended, for a person."""
    why = it.cancellation
    if why.reason == "payment_failed":
        return "Involuntary: payment failed"
    words = (_WORDS[why.feedback] if why.feedback else None, why.comment)
    return ": ".join(word for word in words if word) or "Cancelled, no reason given"


def account(told: list[Told]) -> Record:
    """What the Account says of it."""
    it = left(told)
    if it is None:
        status = {one.now.status for one in told}
        known = (("Active", TAKEN_UP), ("Trial", ("trialing",)), ("Paused", ("paused",)))
        name = next((name for name, these in known if status & set(these)), None)
        return {"Stripe_Customer_Status__c": name} | dict.fromkeys(_FIELDS)
    lost = money(worth(it), it.currency)
    return {"Stripe_Customer_Status__c": "Churned"} | dict(
        zip(_FIELDS, (date(it.ended_at or 0), reason(it), lost), strict=True)
    )


_FIELDS = ("Stripe_Churned_On__c", "Stripe_Churn_Reason__c", "Stripe_Lost_MRR__c")


def deals(accounts: Mapping[str, str]) -> list[Record]:
    """The deals to seed, two for each of these Accounts (by routing key, their Salesforce IDs)."""
    return [
        {
            "Name": f"{key} {kind}",
            "AccountId": account,
            "Type": type_,
            "StageName": "Qualification",
            "CloseDate": "2026-12-31",
            "CreatedDate": BEFORE,
        }
        for key, account in accounts.items()
        for kind, type_ in _KINDS.items()
    ]


def deals_now(keys: Iterable[str], lives: Mapping[str, list[Told]]) -> dict[str, Record]:
    """What is to have become of them, by name."""
    found: dict[str, Record] = {}
    for key in keys:
        it = left(lives.get(key, []))
        for kind in _KINDS:
            lost = it is not None and kind == "upsell"
            found[f"{key} {kind}"] = {
                "StageName": "Closed Lost" if lost else "Qualification",
                "Stripe_Loss_Reason__c": reason(it) if it is not None and lost else None,
            }
    return found


def members(lives: Mapping[str, list[Told]]) -> dict[str, Record]:
    """The members of the win-back Campaign."""
    return {
        f"{key}:{CAMPAIGN}": {"CampaignId": CAMPAIGN, "Status": "Sent"}
        for key, told in lives.items()
        if left(told)
    }
