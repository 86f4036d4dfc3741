"""Stripe's events, read from the topic and folded into what is remembered.

Each family of events that some workflow needs has one entry in `FAMILIES`; all others are ignored, with the
reason, without being parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Protocol

import msgspec

from stream.records import EventRef
from stream.stripe import shapes
from stream.stripe.shapes import Discount
from tables import customer_mapping, ledger, subscriptions
from tables.customer_mapping import CustomerMapping, Waiting
from tables.subscriptions import Subscriptions
from tables.versions import Rank, Telling, digest


class Record(Protocol):
    """What is read of a Kafka record."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class State(msgspec.Struct, frozen=True, dict=True):
    """All that is remembered of one customer: its rows of the two tables."""

    mapping: CustomerMapping = CustomerMapping()
    subscriptions: Subscriptions = Subscriptions()

    @cached_property
    def version(self) -> int:
        """The newest Stripe `created` (epoch seconds) that is folded in; 0 for a customer never heard of."""
        told = [held.created for held in self.subscriptions.by_id.values()]
        told.append(self.mapping.payments.newest)
        if self.mapping.customer is not None:
            told.append(self.mapping.customer.created)
        return max(told, default=0)


class Event(msgspec.Struct, frozen=True):
    """One event: its object as it then was, and as it was before when the event is of an update.

    `object` and `before` are of the family's shape (`stream.stripe.shapes`). `record` is what it was read from.
    """

    ref: EventRef
    family: str
    object: Any
    before: Any
    record: Record


class Undecodable(Exception):
    """An event whose body does not have the needed shape. The message names the field, never its value."""


def reference(headers: dict[str, bytes]) -> EventRef:
    """Which event a record holds. Raises Undecodable when the gateway's headers are not there."""
    try:
        return EventRef(
            id=headers["id"].decode(),
            type=headers["type"].decode(),
            created=int(headers["created"]),
            received_at=int(headers["received_at"]),
        )
    except (KeyError, ValueError) as error:
        raise Undecodable(f"The record lacks the gateway's header or it is unreadable: {error}.") from None


def family(type_: str) -> str | None:
    """The entry of `FAMILIES` that an event type belongs to: all but its last word."""
    name = type_.rpartition(".")[0]
    return name if name in FAMILIES and type_ != FORETOLD else None


def read(ref: EventRef, record: Record) -> Event:
    """The event of a record, of a type that has a family. Raises Undecodable."""
    name = family(ref.type) or ""
    parse = FAMILIES[name].parse
    with _as_documented():
        raw, previous = shapes.event_data(record.value or b"")
        before = parse(shapes.before(raw, previous)) if previous else None
        return Event(ref, name, parse(raw), before, record)


def read_discount(record: Record) -> Discount:
    """The discount that an event is about. Raises Undecodable."""
    with _as_documented():
        return shapes.discount(shapes.event_data(record.value or b"")[0])


@contextmanager
def _as_documented() -> Iterator[None]:
    try:
        yield
    except (msgspec.DecodeError, TypeError) as error:
        raise Undecodable(f"The event's object is not as Stripe documents it: {error}.") from None


def fold(state: State, event: Event) -> State:
    """The state after one more event; the same object when the event tells nothing new."""
    return FAMILIES[event.family].fold(state, event)


def _telling(event: Event) -> Telling[Any]:
    """What the event says of its object: as it now is, and as it was before when it was an update."""
    match event.ref.type.rpartition(".")[2]:
        case "created":
            return Telling(event.ref.id, Rank.CREATED, event.object)
        case "deleted":
            return Telling(event.ref.id, Rank.DELETED, event.object)
        case _:
            prior = event.object if event.before is None else event.before
            return Telling(event.ref.id, Rank.UPDATED, event.object, before=digest(prior))


def _fold_customer(state: State, event: Event) -> State:
    telling = _telling(event)
    if telling.rank == Rank.DELETED:
        telling = msgspec.structs.replace(telling, body=msgspec.structs.replace(telling.body, deleted=True))
    mapping = customer_mapping.told(state.mapping, event.ref.created, telling)
    return state if mapping is state.mapping else msgspec.structs.replace(state, mapping=mapping)


def _fold_subscription(state: State, event: Event) -> State:
    folded = subscriptions.told(state.subscriptions, event.ref.created, _telling(event))
    return state if folded is state.subscriptions else msgspec.structs.replace(state, subscriptions=folded)


def _fold_payment(state: State, event: Event) -> State:
    known = state.mapping.payments
    folded = ledger.told(known, event.ref.created, event.ref.type, event.object)
    if folded is known:
        return state
    mapping = msgspec.structs.replace(state.mapping, payments=folded)
    return msgspec.structs.replace(state, mapping=mapping)


class Family(msgspec.Struct, frozen=True):
    """How the events of one family are read, and what they change in what is remembered.

    `charge` gives the charge through which an object without a customer belongs to one (`agents.strays`).
    """

    parse: Callable[[Any], Any]
    fold: Callable[[State, Event], State]
    charge: Callable[[Any], str | None] | None = None


CUSTOMER = "customer"
SUBSCRIPTION = "customer.subscription"
INVOICE = "invoice"
CHARGE = "charge"
REFUNDS = ("refund", "charge.refund")
DISPUTE = "charge.dispute"
CREDIT_NOTE = "credit_note"
FRAUD_WARNING = "radar.early_fraud_warning"
# What is told of money.
MONEY = (INVOICE, CHARGE, *REFUNDS, DISPUTE, CREDIT_NOTE, FRAUD_WARNING)

# An invoice that does not exist yet, and has no ID.
FORETOLD = "invoice.upcoming"

FAMILIES: dict[str, Family] = {
    CUSTOMER: Family(shapes.customer, _fold_customer),
    SUBSCRIPTION: Family(shapes.subscription, _fold_subscription),
    INVOICE: Family(shapes.invoice, _fold_payment),
    # One that names no customer is a guest's.
    CHARGE: Family(shapes.charge, _fold_payment, charge=lambda charge: charge.id),
    DISPUTE: Family(shapes.dispute, _fold_payment, charge=lambda dispute: dispute.charge),
    CREDIT_NOTE: Family(shapes.credit_note, _fold_payment),
    FRAUD_WARNING: Family(shapes.fraud_warning, _fold_payment, charge=lambda warning: warning.charge),
    **dict.fromkeys(REFUNDS, Family(shapes.refund, _fold_payment, charge=lambda refund: refund.charge)),
}


# Events of a customer that is not known yet


class Kept(msgspec.Struct, frozen=True):
    """A record that was kept in the customer's row until now."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def keep(event: Event) -> Waiting:
    """The event as a customer's row keeps it."""
    record = event.record
    return Waiting(event.ref.id, record.value or b"", dict(record.headers), record.offset)


def kept(waiting: Waiting, topic: str, partition: int, key: bytes) -> Event:
    """The event that a customer's row has kept."""
    headers = tuple(waiting.headers.items())
    record = Kept(topic, partition, waiting.offset, key, waiting.body, headers)
    return read(reference(waiting.headers), record)
