"""From a chunk of events to what is to be remembered and what Salesforce should hold. Pure.

The chunk is all fetched records of one partition. Events are folded one by one; then, once per customer, the
workflows say what its records should now be. So a customer with many events in a chunk costs one changelog
record per table and one write per record, and a replayed event emits the current record again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from agents import customers
from agents.events import State, Undecodable, family, fold, read
from stream.records import EventRef, RowError, Write
from stream.settings import Settings

Workflow = Callable[[str, State, tuple[EventRef, ...], Settings], tuple[Write, ...]]

# In the order in which their records depend on each other.
WORKFLOWS: tuple[Workflow, ...] = (customers.project,)


class Record(Protocol):
    """What is read of a Kafka record."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Refused(msgspec.Struct, frozen=True):
    """A record that is set aside: the original, and why."""

    record: Record
    error: RowError


class Folded(msgspec.Struct):
    """What a chunk came to. `outcomes` counts events by (outcome, reason), the labels of the metric."""

    states: dict[bytes, State] = {}
    touched: dict[bytes, list[EventRef]] = {}
    refused: list[Refused] = []
    outcomes: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)

    @property
    def ambiguous(self) -> list[bytes]:
        """The customers whose newest state only a fetch can tell."""
        return [
            key
            for key, state in self.states.items()
            if state.mapping.customer is not None and state.mapping.customer.ambiguous
        ]


def fold_chunk(records: Sequence[Record], load: Callable[[bytes], State]) -> Folded:
    """Folds the records in order. `load` gives what is remembered of a customer so far."""
    folded = Folded()
    for record in records:
        try:
            if record.key is None or record.value is None:
                raise Undecodable("The record has no key or no value.")
            event = read(record.value, dict(record.headers))
            if family(event.ref.type) is None:
                folded.outcomes["ignored", "no_workflow"] += 1
                continue
            known = folded.states.get(record.key) or load(record.key)
            state = fold(known, event)
        except Undecodable as error:
            folded.refused.append(Refused(record, RowError("undecodable", str(error))))
            folded.outcomes["dead-lettered", "undecodable"] += 1
            continue
        folded.outcomes["applied", "older_or_known" if state is known else "new"] += 1
        folded.states[record.key] = state
        folded.touched.setdefault(record.key, []).append(event.ref)
    return folded


def emit(folded: Folded, settings: Settings) -> Iterable[Write]:
    """The current records of every customer that an event of the chunk is about, changed or not."""
    for key, events in folded.touched.items():
        for workflow in WORKFLOWS:
            yield from workflow(key.decode(), folded.states[key], tuple(events), settings)
