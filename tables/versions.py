"""Which telling of a Stripe object is the newest, whatever the order in which they came.

Stripe promises no order, sends duplicates and stamps whole seconds ("Don't use `created` to determine event
order", docs.stripe.com/webhooks). So all tellings of the newest second are kept, and the newest among them is
a function of that *set*: a fold in any order, any number of times, ends the same.

Within one second: a deletion ends an object for good; a fetched object is newer than any event; updates form
a chain, since each names what it changed (`previous_attributes`) and so the state before it.
"""

from __future__ import annotations

from collections import Counter
from enum import IntEnum
from functools import cached_property
from hashlib import blake2b
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")

# An object changed more often in one second than this keeps the tellings with the highest IDs.
MAX_TELLINGS = 32


class Rank(IntEnum):
    """What kind of telling it is; a later kind is later in an object's life."""

    CREATED = 0
    UPDATED = 1
    FETCHED = 2
    DELETED = 3


class Telling(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """One event's word on an object: the object as it then was, and (a digest of) what it was before."""

    event_id: str
    rank: Rank
    body: T
    before: str = ""


class Versioned(msgspec.Struct, Generic[T], frozen=True, dict=True):
    """An object with the tellings of its newest second. `created` is Stripe's, in epoch seconds.

    What the tellings come to is asked for by every field of a record, and takes a digest of each telling.
    """

    created: int
    tellings: tuple[Telling[T], ...]

    @cached_property
    def _last(self) -> Telling[T] | None:
        return _newest(self.tellings)

    @cached_property
    def newest(self) -> Telling[T]:
        """The telling that holds. Where the events cannot tell (`ambiguous`), the one with the highest ID."""
        return self._last or max(self.tellings, key=lambda t: (t.rank, t.event_id))

    @property
    def ambiguous(self) -> bool:
        """Whether only a fetch can tell which of several same-second tellings is the newest."""
        return self._last is None

    @property
    def deleted(self) -> bool:
        """Whether the object is gone for good: a tombstone, which no late update resurrects."""
        return self.tellings[-1].rank == Rank.DELETED


def digest(body: Any) -> str:
    """A short name for an object's state, for comparing two of them."""
    return blake2b(msgspec.json.encode(body, order="deterministic"), digest_size=8).hexdigest()


def fold(state: Versioned[T] | None, created: int, telling: Telling[T]) -> Versioned[T]:
    """The state after one more telling; the same state object when it tells nothing new."""
    if state is None:
        return Versioned(created, (telling,))
    known = (state.deleted, state.created)
    told = (telling.rank == Rank.DELETED, created)
    if told > known:
        return Versioned(created, (telling,))
    if told < known or any(t.event_id == telling.event_id for t in state.tellings):
        return state
    together = sorted((*state.tellings, telling), key=lambda t: (t.rank, t.event_id))
    return Versioned(created, tuple(together[-MAX_TELLINGS:]))


def refetched(log: Versioned[T] | None, held: Versioned[T] | None) -> Versioned[T] | None:
    """What a log tells of an object, with what Stripe was once asked of it, which no log tells."""
    for telling in held.tellings if held else ():
        if held and telling.rank == Rank.FETCHED:
            log = fold(log, held.created, telling)
    return log


def retold(log: Versioned[T] | None, held: Versioned[T] | None) -> Versioned[T] | None:
    """An object as a log tells it, if that is all that is held of it or newer; else as it is held."""
    told = refetched(log, held)
    if told is None or held is None:
        return told or held
    known, newest = (held.deleted, held.created), (told.deleted, told.created)
    names = {telling.event_id for telling in told.tellings}
    complete = newest == known and all(telling.event_id in names for telling in held.tellings)
    return told if newest > known or complete else held


def _newest(tellings: tuple[Telling[T], ...]) -> Telling[T] | None:
    last = tellings[-1]
    if len(tellings) == 1 or last.rank >= Rank.FETCHED:
        return last
    bodies = {digest(t.body): t for t in tellings}
    if len(bodies) == 1:
        return last
    steps = {(t.before, after, t.rank) for t in tellings if (after := digest(t.body)) != t.before}
    updates = {step for step in steps if step[2] == Rank.UPDATED}
    for considered in (steps, updates):
        if end := _end(considered, bodies):
            return bodies[end]
    return None


def _end(steps: set[tuple[str, str, Rank]], bodies: dict[str, Any]) -> str | None:
    """Where a walk over all steps ends: the one state that is arrived at once more than it is left.

    None when the steps do not make up one walk: one is still missing, or it returns to its start.
    """
    balance: Counter[str] = Counter()
    for before, after, _ in steps:
        balance[after] += 1
        balance[before] -= 1
    ends = [state for state, surplus in balance.items() if surplus > 0]
    if len(ends) != 1 or balance[ends[0]] != 1 or not bodies.keys() <= balance.keys():
        return None
    return ends[0]
