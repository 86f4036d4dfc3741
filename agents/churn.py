"""A cancellation runs the churn workflow.

When the last subscription that was paid for has ended, the customer has left: the Account is Churned, with the
date, the reason (the customer's own words, or that dunning ended it) and the MRR that was lost. The Account's open
Opportunities that people made are closed as lost, as far as the settings name their types and stages. The billing
Contact joins the win-back Campaign, once, and the owner is told. One of several subscriptions that ends is a
contraction (`agents.opportunities`); whoever comes back is Active again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import msgspec

from agents import plans
from agents.events import SUBSCRIPTION, State
from agents.movements import as_it_ran, was_taken_up
from agents.pricing import Money
from agents.subscriptions import RUNNING
from agents.touched import Touched
from agents.worth import worth
from stream.records import Closing, EventRef, Notice, Reference, Scalar, Write
from stream.settings import CUSTOMER_ID_FIELD, STRIPE_ID_FIELD
from stream.stripe.shapes import Subscription

FAMILIES = frozenset({SUBSCRIPTION})
MEMBER = "CampaignMember"

# docs.stripe.com/api/subscriptions/object: cancellation_details.feedback
_FEEDBACK = {
    "customer_service": "Customer service was less than expected",
    "low_quality": "Quality was less than expected",
    "missing_features": "Some features are missing",
    "other": "Other reason",
    "switched_service": "Switched to a different service",
    "too_complex": "Ease of use was less than expected",
    "too_expensive": "Too expensive",
    "unused": "Not used enough",
}
_INVOLUNTARY = {
    "payment_failed": "Involuntary: payment failed",
    "payment_disputed": "Involuntary: payment disputed",
}


def departed(state: State) -> Subscription | None:
    """The subscription with which the customer left: the last to end of those that were paid for. None while
    anything runs, and for who never paid."""
    bodies = [held.newest.body for held in state.subscriptions.by_id.values()]
    if any(body.status in RUNNING for body in bodies):
        return None
    ended = [body for body in bodies if body.ended_at is not None and was_taken_up(body)]
    return max(ended, key=lambda it: (it.ended_at or 0, it.id), default=None)


def reason(it: Subscription) -> str:
    """Why it ended, for a person: the feedback and the comment, as far as there are any."""
    told = it.cancellation
    if told.reason in _INVOLUNTARY:
        return _INVOLUNTARY[told.reason]
    feedback = _FEEDBACK.get(told.feedback or "", told.feedback)
    said = ": ".join(part for part in (feedback, told.comment) if part)
    return said[:255] or "Cancelled, no reason given"


def project(touched: Touched) -> Iterable[Write | Notice]:
    """The win-back membership and the word to the owner; the Account's part is in `SOURCES` and `closing`."""
    left = departed(touched.state)
    if left is None or touched.state.mapping.customer is None:
        return
    if touched.settings.churn.campaign:
        yield _member(touched, touched.settings.churn.campaign)
    # Any of the customer's events may be the one by which it is known; the notice is one all the same.
    if events := touched.about(SUBSCRIPTION):
        at = left.ended_at or events[-1].ref.created
        yield _notice(touched, msgspec.structs.replace(events[-1].ref, created=at), left)


def closing(touched: Touched) -> Closing | None:
    """What is to become of the open Opportunities of an Account whose customer has left."""
    settings, left = touched.settings.churn, departed(touched.state)
    if left is None or left.ended_at is None or not settings.close_types:
        return None
    fields: dict[str, Scalar] = {"StageName": settings.lost_stage}
    if settings.reason_field:
        fields[settings.reason_field] = reason(left)
    return Closing(tuple(settings.close_types), left.ended_at, fields, tuple(settings.close_stages))


def _member(touched: Touched, campaign: str) -> Write:
    """A member is made once: neither its Campaign nor its Contact can be changed later."""
    return Write(
        object=MEMBER,
        external_id_field=STRIPE_ID_FIELD,
        external_id=f"{touched.key}:{campaign}",
        account=touched.key,
        version=touched.state.version,
        fields={"CampaignId": campaign},
        events=touched.refs,
        parents={"Contact": Reference("Contact", CUSTOMER_ID_FIELD, touched.key)},
        if_empty=("CampaignId", "Contact"),
    )


def _notice(touched: Touched, event: EventRef, left: Subscription) -> Notice:
    customer = touched.state.mapping.customer
    assert customer is not None  # noqa: S101  `project` asks first
    body, lost = customer.newest.body, _lost(touched, left)
    facts: dict[str, Scalar] = {
        "customer": body.business_name or body.name or body.id,
        "plan": plans.plan(left),
        "lost_mrr": lost.text,
        "reason": reason(left),
        "subscription": left.id,
    }
    amount = str((lost * 12).rounded)
    return Notice(
        f"{left.id}:churn", "churn", touched.key, event, facts, amount, lost.currency.upper() or None
    )


def _lost(touched: Touched, left: Subscription) -> Money:
    """What it brought a month when it ended."""
    return worth(touched, as_it_ran(left), left.ended_at or 0).worth


def _status(touched: Touched) -> str | None:
    """Churned, Active, Trial, or Paused; none for who has subscribed to nothing yet."""
    if departed(touched.state) is not None:
        return "Churned"
    held = [one.newest.body.status for one in touched.state.subscriptions.by_id.values()]
    for status, name in (
        ("active", "Active"),
        ("past_due", "Active"),
        ("unpaid", "Active"),
        ("trialing", "Trial"),
    ):
        if status in held:
            return name
    return "Paused" if "paused" in held else None


def _if_left(tell: Callable[[Touched, Subscription], Scalar]) -> Callable[[Touched], Scalar]:
    """Nothing while the customer is there: whoever comes back has not left."""

    def told(touched: Touched) -> Scalar:
        left = departed(touched.state)
        return tell(touched, left) if left else None

    return told


SOURCES: dict[str, Callable[[Touched], Scalar]] = {
    "customer_status": _status,
    "churned_on": _if_left(
        lambda _, left: datetime.fromtimestamp(left.ended_at or 0, UTC).date().isoformat()
    ),
    "churn_reason": _if_left(lambda _, left: reason(left)),
    "lost_mrr": _if_left(lambda touched, left: float(_lost(touched, left).rounded)),
}
