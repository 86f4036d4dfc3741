"""The records, found by ID or by the value of a keyed field, and changed in a way that can be taken back.

Nothing here waits, so whatever happens between two `await`s is one transaction: `mark`, write, then `commit` or
`rollback`. Salesforce's own rules are elsewhere (`dml`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from stream.sandbox.salesforce import identifiers
from stream.sandbox.salesforce.schema import Entity, Scalar, Schema

Row = dict[str, Scalar]
_NOTHING: Row = {}


class Change(msgspec.Struct, frozen=True):
    """What became of one record in a transaction: `row` is None when it was never kept."""

    entity: str
    identifier: str
    row: Row | None
    deleted: bool


class Table:
    """The records of one object. Rows are replaced, never changed, so a row that was read stays as it was."""

    def __init__(self, entity: Entity) -> None:
        self.entity = entity
        self.rows: dict[str, Row] = {}
        self.bin: dict[str, Row] = {}  # deleted, not yet emptied
        self.indexes: dict[str, dict[Scalar, dict[str, None]]] = {}
        self.describe(entity)

    def describe(self, entity: Entity) -> None:
        """Takes over a changed description, and indexes anew what it keys."""
        self.entity = entity
        self.indexes = {field.name: {} for field in entity.fields.values() if field.keyed}
        for identifier, row in self.rows.items():
            self._index(identifier, _NOTHING, row)

    def replace(self, identifier: str, row: Row | None, binned: Row | None) -> None:
        """Sets both places a record can be in; at most one is not None."""
        self._index(identifier, self.rows.get(identifier, _NOTHING), row or _NOTHING)
        if row is None:
            self.rows.pop(identifier, None)
        else:
            self.rows[identifier] = row
        if binned is None:
            self.bin.pop(identifier, None)
        else:
            self.bin[identifier] = binned

    def _index(self, identifier: str, old: Row, new: Row) -> None:
        for name, index in self.indexes.items():
            before, now = old.get(name), new.get(name)
            if before == now:
                continue
            key = self.entity.fields[name].key
            if before is not None:
                holders = index[key(before)]
                del holders[identifier]
                if not holders:
                    del index[key(before)]
            if now is not None:
                index.setdefault(key(now), {})[identifier] = None


class Store:
    """All tables, and the undo log of the transaction that is open."""

    def __init__(self, schema: Schema) -> None:
        self.tables = {name: Table(entity) for name, entity in schema.entities.items()}
        self._numbers: dict[str, int] = {}
        self._undo: list[tuple[Table, str, Row | None, Row | None]] = []

    def describe(self, schema: Schema) -> None:
        """Takes over a changed schema; records of an object that is gone go with it."""
        self.tables = {
            name: self.tables.get(name) or Table(entity) for name, entity in schema.entities.items()
        }
        for name, entity in schema.entities.items():
            if self.tables[name].entity != entity:
                self.tables[name].describe(entity)

    def load(self, entity: str, identifier: str, row: Row, deleted: bool) -> None:
        """Puts back a record that was kept; not part of any transaction."""
        if (table := self.tables.get(entity)) is not None:
            table.replace(identifier, None if deleted else row, row if deleted else None)
            number = identifiers.number_of(identifier)
            self._numbers[identifier[:3]] = max(number, self._numbers.get(identifier[:3], 0))

    def next_id(self, prefix: str) -> str:
        """A new ID. One that a rollback leaves unused is not used again, as in Salesforce."""
        self._numbers[prefix] = number = self._numbers.get(prefix, 0) + 1
        return identifiers.make(prefix, number)

    def get(self, entity: str, identifier: str) -> Row | None:
        """A record that is not deleted."""
        return self.tables[entity].rows.get(identifier)

    def binned(self, entity: str, identifier: str) -> bool:
        """Whether a record has been deleted."""
        return identifier in self.tables[entity].bin

    def find(self, entity: str, field: str, value: Scalar) -> Iterable[str]:
        """The IDs of the records that hold this value in a keyed field, in the order they got it."""
        table = self.tables[entity]
        if field == "Id":
            return (value,) if isinstance(value, str) and value in table.rows else ()
        return tuple(table.indexes[field].get(table.entity.fields[field].key(value), ()))

    def rows(self, entity: str, *, deleted: bool = False) -> Iterator[Row]:
        """All records of an object, with `deleted` those in the bin too."""
        yield from self.tables[entity].rows.values()
        if deleted:
            yield from self.tables[entity].bin.values()

    def put(self, entity: str, identifier: str, row: Row) -> None:
        """Inserts or replaces a record."""
        self._set(entity, identifier, row, None)

    def delete(self, entity: str, identifier: str) -> None:
        """Moves a record to the bin."""
        row = self.tables[entity].rows[identifier]
        self._set(entity, identifier, None, row | {"IsDeleted": True})

    def _set(self, entity: str, identifier: str, row: Row | None, binned: Row | None) -> None:
        table = self.tables[entity]
        self._undo.append((table, identifier, table.rows.get(identifier), table.bin.get(identifier)))
        table.replace(identifier, row, binned)

    def mark(self) -> int:
        """A point that `rollback` can return to."""
        return len(self._undo)

    def rollback(self, mark: int = 0) -> None:
        """Takes back every change since the mark, last first."""
        while len(self._undo) > mark:
            table, identifier, row, binned = self._undo.pop()
            table.replace(identifier, row, binned)

    def commit(self) -> list[Change]:
        """Ends the transaction; gives the state of every record that it changed."""
        touched = {(table.entity.name, identifier) for table, identifier, _, _ in self._undo}
        self._undo.clear()
        changes = []
        for entity, identifier in sorted(touched):
            table = self.tables[entity]
            row = table.rows.get(identifier)
            deleted = row is None and identifier in table.bin
            changes.append(Change(entity, identifier, table.bin[identifier] if deleted else row, deleted))
        return changes
