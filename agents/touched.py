"""What a workflow is given, and what it may answer.

A workflow is a plain function from one customer that events are about to the records that Salesforce should
hold and the notices that people should get. What follows from the state is made from the state; what happened
is told by the events themselves. So neither depends on the order in which events came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property, wraps
from typing import Any, TypeVar

import msgspec

from agents.events import Event, State
from agents.pricing import Mrr, Unknown
from stream.records import EventRef, Notice, Write
from stream.settings import Settings
from stream.stripe.catalogue import Lookup
from stream.stripe.shapes import Subscription

T = TypeVar("T")


class Touched(msgspec.Struct, frozen=True, dict=True):
    """One customer that events of a chunk are about. `key` is its routing key.

    `state` is what is remembered after these events; `lookup` what is known of the account's catalogue.
    """

    key: str
    state: State
    events: tuple[Event, ...]
    lookup: Lookup
    settings: Settings
    # What a subscription is worth is asked for by many fields: by its identity, the moment, and whether the
    # customer has a discount. The subscription is held, so that its identity is not another's.
    worths: dict[tuple[int, int, bool], tuple[Subscription, Mrr]] = {}
    # What else many fields ask for: see `once`.
    told: dict[Callable[[Touched], Any], Any] = {}

    @cached_property
    def refs(self) -> tuple[EventRef, ...]:
        """The events by their names, as a record carries them."""
        return tuple(event.ref for event in self.events)

    def about(self, *families: str) -> tuple[Event, ...]:
        """The events of these families."""
        return tuple(event for event in self.events if event.family in families)


def once(tell: Callable[[Touched], T]) -> Callable[[Touched], T]:
    """What follows from a touched customer, for many fields: worked out when the first of them asks."""

    @wraps(tell)
    def told(touched: Touched) -> T:
        if tell not in touched.told:
            touched.told[tell] = tell(touched)
        known: T = touched.told[tell]
        return known

    return told


class Refusal(msgspec.Struct, frozen=True):
    """An event that can be read, but not worked on: a dead letter. `message` says what it is about, why not, and
    what to do; `code` is its name in the metrics."""

    event: Event
    code: str
    message: str


class Wanted(Exception):
    """The workflow cannot say before something has been fetched from Stripe; then it is asked again."""

    def __init__(self, unknown: Unknown) -> None:
        super().__init__(unknown)
        self.unknown = unknown


class Workflow(msgspec.Struct, frozen=True):
    """`project` is run when an event of `families` is there. It raises Wanted, and Unpriceable when no fetch
    would help: then those events are dead letters."""

    families: frozenset[str]
    project: Callable[[Touched], Iterable[Write | Notice | Refusal]]
