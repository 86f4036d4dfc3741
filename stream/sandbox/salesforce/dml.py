"""Insert, update, upsert and delete of one record, by Salesforce's rules.

A `Dml` is one request's view of the records. It notes which records the request locks: writing a record locks
it and its parents (Record Locking Cheat Sheet), so an Opportunity locks its Account. Rows whose lock another
request holds are refused with UNABLE_TO_LOCK_ROW.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from stream.sandbox.salesforce import standard, values
from stream.sandbox.salesforce.errors import RowError
from stream.sandbox.salesforce.given import Reading, one_of, read
from stream.sandbox.salesforce.identifiers import normal
from stream.sandbox.salesforce.schema import Entity, Field, Schema
from stream.sandbox.salesforce.store import Row, Store

Mark = tuple[int, Counter[tuple[str, str]]]
RowFault = Callable[[str, Row], RowError | None]


class Saved(msgspec.Struct, frozen=True):
    """A row that went through."""

    identifier: str
    created: bool


Outcome = Saved | RowError


class Dml:
    """Writes of one request. `now` stamps them and `user` is who did it; `blocked` are records that other
    requests hold locked; `fault` may refuse a row on demand. `touched` are the records that the request locks,
    `counted` its rows by object and by what became of them."""

    def __init__(
        self,
        store: Store,
        schema: Schema,
        *,
        now: str,
        user: str,
        blocked: frozenset[str] = frozenset(),
        fault: RowFault = lambda entity, row: None,
        source: values.Source = "json",
    ) -> None:
        self.store = store
        self.schema = schema
        self.touched: set[str] = set()
        self.counted: Counter[tuple[str, str]] = Counter()
        self._now = now
        self._user = user
        self._blocked = blocked
        self._fault = fault
        self._reading = Reading(store, schema, source)

    def insert(self, entity: Entity, given: Mapping[str, Any], created: str | None = None) -> Saved:
        """Creates a record, as of now or of an earlier time. Raises RowError."""
        if any(name.casefold() == "id" and value for name, value in given.items()):
            raise RowError("INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", "Id")
        told = read(given, entity, self._reading, creating=True)
        row: Row = {
            field.name: field.default for field in entity.fields.values() if field.default is not None
        }
        identifier = self.store.next_id(entity.prefix)
        row |= {"Id": identifier, "CreatedDate": created or self._now, "CreatedById": self._user}
        if entity.owned:
            row["OwnerId"] = self._user
        self._save(entity, row, {}, told)
        self.counted[entity.name, "created"] += 1
        return Saved(identifier, created=True)

    def update(self, entity: Entity, identifier: str, given: Mapping[str, Any]) -> Saved:
        """Changes a record by its ID. Raises RowError."""
        full, row = self._existing(entity, identifier)
        told = read(given, entity, self._reading, creating=False)
        self._save(entity, dict(row), row, told)
        self.counted[entity.name, "updated"] += 1
        return Saved(full, created=False)

    def upsert(
        self, entity: Entity, key: Field, value: Any, given: Mapping[str, Any], *, update_only: bool = False
    ) -> Saved:
        """Changes the record that holds `value` in the field `key`, or creates it. Raises RowError."""
        if key.name == "Id":
            return self.update(entity, str(value), given) if value else self.insert(entity, given)
        wanted = values.read(key, value, self.schema, self._reading.source)
        if wanted is None:
            raise RowError("MISSING_ARGUMENT", f"{key.name} not specified")
        found = tuple(self.store.find(entity.name, key.name, wanted))
        if found:
            return self.update(entity, one_of(key, found), given)
        if update_only:
            raise RowError("NOT_FOUND", "The requested resource does not exist")
        return self.insert(entity, {**given, key.name: wanted})

    def delete(self, entity: Entity, identifier: str) -> Saved:
        """Moves a record to the bin, with the children that go with it. Raises RowError."""
        full, row = self._existing(entity, identifier)
        self._lock(entity, row)
        for child in self.schema.entities.values():
            for field in child.references:
                if entity.name in field.to:
                    for each in self.store.find(child.name, field.name, full):
                        self._orphan(child, field, each)
        self.store.delete(entity.name, full)
        self._sum_up(entity, row)
        self.counted[entity.name, "deleted"] += 1
        return Saved(full, created=False)

    def each(self, rows: Sequence[Callable[[], Saved]], *, all_or_none: bool) -> list[Outcome]:
        """Runs one write per row, in order; a refused row leaves nothing behind.

        With `all_or_none` one refused row takes back all of them.
        """
        start = self.mark()
        outcomes: list[Outcome] = []
        for write in rows:
            mark = self.mark()
            try:
                outcomes.append(write())
            except RowError as error:
                self.rollback(mark)
                outcomes.append(error)
        if all_or_none and any(isinstance(outcome, RowError) for outcome in outcomes):
            self.rollback(start)
            return [outcome if isinstance(outcome, RowError) else _rolled_back() for outcome in outcomes]
        return outcomes

    def mark(self) -> Mark:
        """A point that `rollback` can return to."""
        return self.store.mark(), self.counted.copy()

    def rollback(self, mark: Mark) -> None:
        """Takes back every write since the mark. The locks stay, as in Salesforce."""
        undone, self.counted = mark
        self.store.rollback(undone)

    def _existing(self, entity: Entity, identifier: str) -> tuple[str, Row]:
        full = normal(identifier)
        if full is None or not full.startswith(entity.prefix):
            raise RowError(
                "MALFORMED_ID", f"{entity.label} ID: id value of incorrect type: {identifier}", "Id"
            )
        row = self.store.get(entity.name, full)
        if row is None:
            if self.store.binned(entity.name, full):
                raise RowError("ENTITY_IS_DELETED", "entity is deleted")
            raise RowError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        return full, row

    def _save(self, entity: Entity, row: Row, old: Row, told: Row) -> None:
        row.update(told)
        row |= {"LastModifiedDate": self._now, "LastModifiedById": self._user, "SystemModstamp": self._now}
        standard.complete(entity.name, standard.Draft(row, old, set(told), self.store, self.schema))
        for name in [name for name, value in row.items() if value is None]:
            del row[name]
        missing = [f.name for f in entity.fields.values() if f.required and row.get(f.name) is None]
        if missing:
            raise RowError(
                "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", *missing
            )
        self._check_references(entity, told)
        self._check_unique(entity, row, told)
        if (refusal := self._fault(entity.name, row)) is not None:
            raise refusal
        self._lock(entity, row)
        if old:
            self._lock(entity, old)  # a record that changes its parent locks both
        self.store.put(entity.name, str(row["Id"]), row)
        self._sum_up(entity, row)

    def _check_references(self, entity: Entity, told: Row) -> None:
        for field in entity.references:
            if (identifier := told.get(field.name)) is None:
                continue
            target = self.schema.of_id(str(identifier))
            if target is None or self.store.get(target.name, str(identifier)) is None:
                if target is not None and self.store.binned(target.name, str(identifier)):
                    raise RowError("ENTITY_IS_DELETED", "entity is deleted", field.name)
                raise RowError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", field.name)

    def _check_unique(self, entity: Entity, row: Row, told: Row) -> None:
        for name in told:
            if entity.fields[name].unique and (value := row.get(name)) is not None:
                for other in self.store.find(entity.name, name, value):
                    if other != row["Id"]:
                        raise RowError(
                            "DUPLICATE_VALUE",
                            f"duplicate value found: {name} duplicates value on record with id: {other}",
                        )
        for rule in entity.unique_together:
            key = [row.get(name) for name in rule.fields]
            for other in self.store.find(entity.name, rule.fields[0], key[0]):
                held = self.store.get(entity.name, other) or {}
                if other != row["Id"] and [held.get(name) for name in rule.fields] == key:
                    raise RowError("DUPLICATE_VALUE", rule.message)

    def _lock(self, entity: Entity, row: Row) -> None:
        wanted = self._locked_by(entity, row)
        if held := wanted & self._blocked:
            raise RowError(
                "UNABLE_TO_LOCK_ROW",
                "unable to obtain exclusive access to this record or "
                f"{len(held)} records: {','.join(sorted(held))}",
            )
        self.touched |= wanted

    def _locked_by(self, entity: Entity, row: Row) -> set[str]:
        found = {str(row["Id"])}
        for field in entity.references:
            parent = row.get(field.name) if field.locks else None
            target = self.schema.of_id(parent) if isinstance(parent, str) else None
            if target is not None and target.locked_by_children:
                held = self.store.get(target.name, str(parent))
                found |= self._locked_by(target, held) if held else set()
        return found

    def _sum_up(self, entity: Entity, row: Row) -> None:
        if (sums := standard.summed_up(entity.name, row, self.store)) is not None:
            parent, identifier, told = sums
            held = self.store.get(parent, identifier) or {}
            self.store.put(parent, identifier, held | told)

    def _orphan(self, child: Entity, field: Field, identifier: str) -> None:
        """Deletes or unlinks a child whose parent goes."""
        row = self.store.get(child.name, identifier)
        if row is None:
            return
        if field.cascade:
            self.delete(child, identifier)
        elif field.required:
            raise RowError(
                "DELETE_FAILED",
                f"Your attempt to delete the record could not be completed because it is associated with "
                f"the following {child.plural}: {identifier}",
            )
        else:
            self.store.put(child.name, identifier, {k: v for k, v in row.items() if k != field.name})


def _rolled_back() -> RowError:
    return RowError(
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "Record rolled back because not all records were valid and the request was using AllOrNone header",
    )
