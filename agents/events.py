"""Stripe's events, read from the topic and folded into what is remembered.

Each family of events that some workflow needs has one entry in `FAMILIES`; all others are ignored, with the
reason, without being parsed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from stream.records import EventRef
from stream.stripe import shapes
from tables import customer_mapping, subscriptions
from tables.customer_mapping import CustomerMapping
from tables.subscriptions import Subscriptions
from tables.versions import Rank, Telling, digest


class State(msgspec.Struct, frozen=True):
    """All that is remembered of one customer: its rows of the two tables."""

    mapping: CustomerMapping = CustomerMapping()
    subscriptions: Subscriptions = Subscriptions()


class Event(msgspec.Struct, frozen=True):
    """An event as the topic holds it: the signed body, and what the gateway read of it."""

    ref: EventRef
    body: bytes


class Undecodable(Exception):
    """An event whose body does not have the needed shape. The message names the field, never its value."""


def read(body: bytes, headers: dict[str, bytes]) -> Event:
    """An event from its record. Raises Undecodable when the gateway's headers are not there."""
    try:
        ref = EventRef(
            id=headers["id"].decode(),
            type=headers["type"].decode(),
            created=int(headers["created"]),
            received_at=int(headers["received_at"]),
        )
    except (KeyError, ValueError) as error:
        raise Undecodable(f"The record lacks the gateway's header or it is unreadable: {error}.") from None
    return Event(ref, body)


def family(type_: str) -> str | None:
    """The entry of `FAMILIES` that an event type belongs to: its longest known prefix."""
    name = type_.rpartition(".")[0]
    return name if name in FAMILIES else None


def fold(state: State, event: Event) -> State:
    """The state after one more event; the same object when the event tells nothing new.

    Raises Undecodable when the body lacks what is needed, KeyError for a type without a family.
    """
    try:
        return FAMILIES[family(event.ref.type) or ""](state, event)
    except (msgspec.DecodeError, TypeError) as error:
        raise Undecodable(f"The event's object is not as Stripe documents it: {error}.") from None


def _telling(event: Event, parse: Callable[[Any], Any]) -> Telling[Any]:
    """What the event says of its object: as it now is, and as it was before when it was an update."""
    raw, previous = shapes.event_data(event.body)
    body = parse(raw)
    match event.ref.type.rpartition(".")[2]:
        case "created":
            return Telling(event.ref.id, Rank.CREATED, body)
        case "deleted":
            return Telling(event.ref.id, Rank.DELETED, body)
        case _:
            prior = parse(shapes.before(raw, previous)) if previous else body
            return Telling(event.ref.id, Rank.UPDATED, body, before=digest(prior))


def _fold_customer(state: State, event: Event) -> State:
    telling = _telling(event, shapes.customer)
    if telling.rank == Rank.DELETED:
        telling = msgspec.structs.replace(telling, body=msgspec.structs.replace(telling.body, deleted=True))
    mapping = customer_mapping.told(state.mapping, event.ref.created, telling)
    return state if mapping is state.mapping else msgspec.structs.replace(state, mapping=mapping)


def _fold_subscription(state: State, event: Event) -> State:
    telling = _telling(event, shapes.subscription)
    folded = subscriptions.told(state.subscriptions, event.ref.created, telling)
    return state if folded is state.subscriptions else msgspec.structs.replace(state, subscriptions=folded)


FAMILIES: dict[str, Callable[[State, Event], State]] = {
    "customer": _fold_customer,
    "customer.subscription": _fold_subscription,
}
