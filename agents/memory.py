"""What a projector remembers of customers: the rows of two tables, and how they get into their changelogs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Protocol

from agents.events import State
from stream import metrics, topics
from stream.kafka import epochs
from stream.kafka.batches import Record
from tables import customer_mapping, subscriptions


class Table(Protocol):
    """The rows of one table, raw bytes, by partition."""

    @property
    def name(self) -> str:
        """The table's."""

    def get(self, partition: int, key: bytes) -> bytes | None:
        """A row, or None."""

    def items(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """All rows of a partition, as they are now."""

    def epoch(self, partition: int) -> int:
        """The newest epoch that its changelog is known to have been written in."""

    def overwritten(self, partition: int) -> Collection[bytes]:
        """The rows that the changelog has otherwise in the end, since a former owner wrote too late."""

    def put(self, partition: int, rows: Mapping[bytes, bytes | None], offset: int, epoch: int) -> None:
        """Writes rows that the changelog has up to an offset, written in an epoch of ours."""

    def count(self) -> int | None:
        """How many rows there are, if it is known."""


class Memory:
    """The rows of one process' partitions."""

    def __init__(self, mapping: Table, subscriptions: Table) -> None:
        self._generation = 0
        self._epochs: dict[int, int] = {}
        self._mapping = mapping
        self._subscriptions = subscriptions

    def own(self, partition: int, generation: int) -> None:
        """Takes a partition on, recovered, in a generation of the group; again and again does no harm.

        A group that was deleted counts its generations from 1 again, and epochs may not.
        """
        if generation != self._generation:
            self._generation, self._epochs = generation, {}
        if partition not in self._epochs:
            last = max(self._mapping.epoch(partition), self._subscriptions.epoch(partition))
            self._epochs[partition] = max(generation, last + 1)

    def load(self, partition: int, key: bytes) -> State:
        """What is known of a customer."""
        return State(
            customer_mapping.decode(self._mapping.get(partition, key)),
            subscriptions.decode(self._subscriptions.get(partition, key)),
        )

    def subscriptions(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """The rows of `subscriptions` as they are now, undecoded."""
        return self._subscriptions.items(partition)

    def changes(self, partition: int, states: Mapping[bytes, State]) -> list[Record]:
        """One changelog record per table and customer whose row is not what the table holds, or not what the
        changelog has in the end."""
        changes = []
        marks = (epochs.mark(self._epochs.get(partition, 0)),)
        for key, state in states.items():
            for table, value in (
                (self._mapping, customer_mapping.encode(state.mapping)),
                (self._subscriptions, subscriptions.encode(state.subscriptions)),
            ):
                if value != (table.get(partition, key) or b"{}"):
                    changes.append(Record(topics.changelog(table.name), partition, key, value, marks))
        told = {(change.topic, change.key) for change in changes}
        for table in (self._mapping, self._subscriptions):
            name = topics.changelog(table.name)
            for key in table.overwritten(partition):
                if (name, key) not in told and (held := table.get(partition, key)) is not None:
                    changes.append(Record(name, partition, key, held, marks))
        return changes

    def keep(self, partition: int, changes: Iterable[Record], sent: Mapping[tuple[str, int], int]) -> None:
        """Puts into the tables what the changelog already has, and up to where it has it."""
        for table in (self._mapping, self._subscriptions):
            name = topics.changelog(table.name)
            rows = {change.key: change.value for change in changes if change.topic == name and change.key}
            if not rows:
                continue
            table.put(partition, rows, sent[name, partition], self._epochs.get(partition, 0))
            metrics.CHANGELOG_RECORDS.labels(table.name).inc(len(rows))
            if (count := table.count()) is not None:
                metrics.TABLE_KEYS.labels(table.name).set(count)
