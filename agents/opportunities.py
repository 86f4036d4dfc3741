"""Subscriptions become Opportunities.

Every subscription is one Opportunity of new business: open while it is in trial or not paid yet, won once it is
taken up, lost when it ends before that. For a customer who had left it is a reactivation. Each expansion or
contraction that follows is one more, worth the change in ARR, and so is each renewal of an interval that the
settings name. A subscription's end is one, too: a contraction while others run, else churn. So no record is made
that later news could show to be none at all: only what it says may change. The owner is told of a new subscription
and of a large expansion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import msgspec

from agents.events import SUBSCRIPTION, Event
from agents.line_items import lines
from agents.movements import Movement, as_it_ran, movement
from agents.plans import interval, plan
from agents.pricing import Money, Mrr
from agents.touched import Touched
from agents.worth import worth
from stream.records import Notice, Reference, Scalar, Write
from stream.settings import CUSTOMER_ID_FIELD, STRIPE_ID_FIELD, Opportunities, Settings
from stream.stripe.shapes import Subscription
from tables.subscriptions import Start
from tables.versions import Versioned

ENDED = frozenset({"canceled", "incomplete_expired"})


class Deal(msgspec.Struct, frozen=True):
    """One Opportunity to be. `amount` is a year's worth; `at` is when it closes, in epoch seconds.

    `movement` is new, additional, reactivation, expansion, contraction, churn or renewal; `stage` is open,
    pending, won or lost, which the settings name.
    """

    id: str
    subscription: Subscription
    movement: str
    stage: str
    at: int
    amount: Money
    mrr: Money
    version: int
    # What the whole subscription is worth, where its items are to be the Opportunity's lines.
    whole: Mrr | None = None


def _date(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def _number(money: Money) -> float:
    return float(money.rounded)


_WORDS = {
    "new": "new subscription",
    "additional": "another subscription",
    "reactivation": "reactivation",
    "expansion": "expansion",
    "contraction": "contraction",
    "churn": "churn",
    "renewal": "renewal",
}

SOURCES: dict[str, Callable[[Deal, Opportunities], Scalar]] = {
    "name": lambda deal, _: f"{plan(deal.subscription)}: {_WORDS[deal.movement]} {_date(deal.at)}"[:120],
    "stage": lambda deal, names: names.stages[deal.stage],
    "type": lambda deal, names: names.types[deal.movement],
    "movement": lambda deal, _: deal.movement,
    "close_date": lambda deal, _: _date(deal.at),
    "amount": lambda deal, names: _number(deal.amount if names.amount == "arr" else deal.mrr),
    "arr": lambda deal, _: _number(deal.amount),
    "mrr": lambda deal, _: _number(deal.mrr),
    "currency": lambda deal, _: deal.amount.currency.upper() or None,
    "plan": lambda deal, _: plan(deal.subscription),
    "interval": lambda deal, _: interval(deal.subscription),
    "subscription": lambda deal, _: deal.subscription.id,
}


def project(touched: Touched) -> Iterable[Write | Notice]:
    """The Opportunities of the customer's subscriptions, and of what the events say happened to them."""
    if touched.state.mapping.customer is None:
        return
    names = touched.settings.opportunities
    started = {}
    for held in touched.state.subscriptions.by_id.values():
        deal = _business(touched, held)
        if "new" in names.movements:
            yield from _writes(touched, deal)
        if "end" in names.movements and (ending := _ending(touched, held)):
            yield from _writes(touched, ending)
        started[deal.subscription.id] = deal
    for event in touched.about(SUBSCRIPTION):
        deal = started[event.object.id]
        start = touched.state.subscriptions.starts.get(event.object.id)
        if start is not None and start.event_id == event.ref.id:
            yield _notice(touched, event, "new_subscription", f"{event.object.id}:new", deal.amount, deal)
        moved = movement(event, lambda it, at: worth(touched, it, at))
        if moved is not None:
            for happened in _happened(moved, event, names):
                yield from _writes(touched, happened)
            yield from _grown(touched, event, moved, deal)


# What follows from the state


def _business(touched: Touched, held: Versioned[Subscription]) -> Deal:
    """The new business that a subscription is."""
    now = held.newest.body
    start = touched.state.subscriptions.starts.get(now.id)
    if start is not None:
        body, at, stage = start.body, _won_at(start), "won"
        value = worth(touched, body, start.created)
    else:
        lost = now.status in ENDED
        body = as_it_ran(now)
        closes = (now.ended_at or now.canceled_at) if lost else now.trial_end
        at = closes or now.start_date or now.created or held.created
        stage = "lost" if lost else "open" if now.status in ("trialing", "paused") else "pending"
        value = worth(touched, body, held.created)
    mrr = value.worth
    whole = value if start is not None else None
    version = touched.state.version
    return Deal(now.id, body, _newness(touched, now), stage, at, mrr * 12, mrr, version, whole)


def _won_at(start: Start) -> int:
    """When it was taken up: with its start or the end of its trial, as far as those are known."""
    known = max(start.body.start_date or start.body.created or 0, start.body.trial_end or 0)
    return known if 0 < known <= start.created else start.created


def _newness(touched: Touched, it: Subscription) -> str:
    """New for one who had none; another one beside one that runs; else the customer has come back."""
    began = it.created or 0
    earlier = [
        (began_other, over)
        for other, began_other, over in _runs(touched)
        if other != it.id and (began_other, other) < (began, it.id)
    ]
    if not earlier:
        return "new"
    return "additional" if any(over is None or over > began for _, over in earlier) else "reactivation"


def _ending(touched: Touched, held: Versioned[Subscription]) -> Deal | None:
    """What the end of a subscription is, once it has ended: a contraction while others go on, else churn."""
    now = held.newest.body
    over = now.ended_at
    if over is None or now.id not in touched.state.subscriptions.starts:
        return None
    others = any(
        began <= over and (end is None or end > over)
        for other, began, end in _runs(touched)
        if other != now.id
    )
    lost = worth(touched, as_it_ran(now), over).worth * -1
    movement, stage = ("contraction", "won") if others else ("churn", "lost")
    return Deal(f"{now.id}:end", now, movement, stage, over, lost * 12, lost, touched.state.version)


def _runs(touched: Touched) -> list[tuple[str, int, int | None]]:
    """The customer's subscriptions that were taken up: ID, when it began, when it ended."""
    known = touched.state.subscriptions
    bodies = ((id_, known.by_id[id_].newest.body) for id_ in known.starts)
    return [(id_, body.created or 0, body.ended_at) for id_, body in bodies]


# What happened


def _happened(moved: Movement, event: Event, names: Opportunities) -> Iterable[Deal]:
    body: Subscription = event.object
    if "change" in names.movements and moved.change in ("expansion", "contraction") and moved.before:
        change = moved.after.money + moved.before.money * -1
        yield Deal(moved.id, body, moved.change, "won", moved.at, change * 12, change, moved.at)
    every = {item.price.interval for item in body.items}
    if "renewal" not in names.movements or every.isdisjoint(names.renewal_intervals):
        return
    began = [item.period_start for item in moved.renewed if item.price.interval in names.renewal_intervals]
    if began:
        mrr = moved.after.money
        at, whole = began[0] or moved.at, moved.after if mrr.minor else None
        id_ = f"{body.id}:renewal:{at}"
        yield Deal(id_, body, "renewal", "won", at, mrr * 12, mrr, moved.at, whole)


def _grown(touched: Touched, event: Event, moved: Movement, deal: Deal) -> Iterable[Notice]:
    if moved.change == "expansion" and moved.before:
        more = (moved.after.money + moved.before.money * -1) * 12
        if more.exact >= touched.settings.opportunities.large_expansion:
            yield _notice(touched, event, "expansion", f"{moved.id}:expansion", more, deal)


def _notice(touched: Touched, event: Event, workflow: str, id_: str, amount: Money, deal: Deal) -> Notice:
    customer = touched.state.mapping.customer
    assert customer is not None  # noqa: S101  `project` asks first
    body = customer.newest.body
    facts: dict[str, Scalar] = {
        "customer": body.business_name or body.name or body.id,
        "plan": plan(event.object),
        "arr": amount.text,
        "movement": deal.movement,
        "subscription": deal.subscription.id,
    }
    told = str(amount.rounded)
    return Notice(id_, workflow, touched.key, event.ref, facts, told, amount.currency.upper() or None)


def _writes(touched: Touched, deal: Deal) -> Iterable[Write]:
    yield Write(
        object="Opportunity",
        external_id_field=STRIPE_ID_FIELD,
        external_id=deal.id,
        account=touched.key,
        version=deal.version,
        fields=_fields(deal, touched.settings),
        events=touched.refs,
        parents={"Account": Reference("Account", CUSTOMER_ID_FIELD, touched.key)},
    )
    if deal.whole is not None:
        yield from lines(touched, deal.id, deal.subscription, deal.whole, deal.version)


def _fields(deal: Deal, settings: Settings) -> dict[str, Scalar]:
    names = settings.opportunities
    told = {
        field: SOURCES[source](deal, names) for field, source in settings.fields_of("Opportunity").items()
    }
    if names.record_type:
        told["RecordTypeId"] = names.record_type
    if names.pricebook and deal.whole is not None:
        told["Pricebook2Id"] = names.pricebook
    return told
