"""From a query's syntax to the rows it means.

Names are looked up first, so a query that names what the org does not have fails whatever the records are. A
condition `field = value` or `field IN (…)` on a keyed field is answered from its index, alone or inside AND, or
when every branch of an OR has one; all other rows are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date
from operator import itemgetter

import msgspec

from stream.sandbox.salesforce import values
from stream.sandbox.salesforce.errors import ApiError
from stream.sandbox.salesforce.identifiers import normal
from stream.sandbox.salesforce.schema import NUMBERS, Entity, Field, Scalar, Schema
from stream.sandbox.salesforce.soql.syntax import (
    Both,
    Comparison,
    Condition,
    Either,
    Membership,
    Not,
    Operator,
    Path,
    Query,
    Value,
)
from stream.sandbox.salesforce.soql.tokens import drawn, malformed
from stream.sandbox.salesforce.store import Row, Store

Test = Callable[[Row], bool]
_MAX_STEPS = 6  # five parents and a field: "Understanding Relationship Query Limitations"


class Column(msgspec.Struct, frozen=True):
    """A field that was looked up: the reference fields to follow, then the field itself."""

    parents: tuple[Field, ...]
    field: Field


class Plan:
    """One query, looked up. Raises ApiError when it names what does not exist or compares what cannot be."""

    def __init__(self, query: Query, schema: Schema, store: Store) -> None:
        self._query = query
        self._schema = schema
        self._store = store
        entity = schema.entity(query.entity)
        if entity is None:
            raise ApiError(
                400,
                "INVALID_TYPE",
                f"{drawn(query.text, query.entity_start)}\nsObject type '{query.entity}' is not supported. "
                "If you are attempting to use a custom object, be sure to append the '__c' after the entity "
                "name. Please reference your WSDL or the describe call for the appropriate names.",
            )
        self.entity: Entity = entity
        self.columns = [self._column(path) for path in query.paths]
        self._test = self._tested(query.where) if query.where is not None else None
        self._order = [(self._column(o.path), o) for o in query.order]

    def rows(self, *, deleted: bool = False) -> list[Row]:
        """The rows that the query means, in its order; with `deleted` those in the bin too."""
        found: Iterable[Row]
        where = self._query.where
        keyed = self._keyed(where) if where is not None and not deleted else None
        if keyed is None:
            found = self._store.rows(self.entity.name, deleted=deleted)
        else:
            live = (self._store.get(self.entity.name, identifier) for identifier in keyed)
            found = (row for row in live if row is not None)
        rows = [row for row in found if self._test is None or self._test(row)]
        for column, order in reversed(self._order):  # sorts are stable, so the last key goes first
            keys = [(key, row) for row in rows if (key := self._sort_key(column, row)) is not None]
            absent = [row for row in rows if self.value(column, row) is None]
            keys.sort(key=itemgetter(0), reverse=order.descending)
            present = [row for _, row in keys]
            rows = present + absent if order.nulls_last else absent + present
        stop = None if self._query.limit is None else self._query.offset + self._query.limit
        return rows[self._query.offset : stop]

    def value(self, column: Column, row: Row) -> Scalar:
        """What a row holds in a column; None also when a parent on the way is missing."""
        for reference in column.parents:
            if (parent := self.parent(reference, row)) is None:
                return None
            row = parent
        return row.get(column.field.name)

    def parent(self, reference: Field, row: Row) -> Row | None:
        """The record that a reference field names."""
        identifier = row.get(reference.name)
        target = self._schema.of_id(identifier) if isinstance(identifier, str) else None
        return self._store.get(target.name, str(identifier)) if target is not None else None

    def kind(self, row: Row) -> str:
        """The name of the object that a row, of this query or of one of its parents, belongs to."""
        entity = self._schema.of_id(str(row["Id"]))
        return entity.name if entity is not None else self.entity.name

    def _sort_key(self, column: Column, row: Row) -> Scalar:
        value = self.value(column, row)
        return value.casefold() if isinstance(value, str) else value

    # Names

    def _column(self, path: Path) -> Column:
        entity, parents = self.entity, []
        steps = path.steps
        if len(steps) > 1 and steps[0].casefold() == entity.name.casefold() and not entity.parent(steps[0]):
            steps = steps[1:]  # `Account.Name` in a query of Account
        if len(steps) > _MAX_STEPS:
            raise self._invalid(path, "Cannot follow more than 5 relationships from a child to a parent")
        for step in steps[:-1]:
            reference = entity.parent(step)
            if reference is None:
                raise self._invalid(
                    path,
                    f"Didn't understand relationship '{step}' in field path. If you are attempting to use "
                    "a custom relationship, be sure to append the '__r' after the custom relationship name. "
                    "Please reference your WSDL or the describe call for the appropriate names.",
                )
            parents.append(reference)
            entity = self._schema.entities[reference.to[0]]
        field = entity.field(steps[-1])
        if field is None:
            raise self._invalid(
                path,
                f"No such column '{steps[-1]}' on entity '{entity.name}'. If you are attempting to use a "
                "custom field, be sure to append the '__c' after the custom field name. Please reference "
                "your WSDL or the describe call for the appropriate names.",
            )
        return Column(tuple(parents), field)

    def _invalid(self, path: Path, message: str) -> ApiError:
        return ApiError(400, "INVALID_FIELD", f"{drawn(self._query.text, path.start)}\n{message}")

    # Conditions

    def _tested(self, condition: Condition) -> Test:
        if isinstance(condition, Not):
            inner = self._tested(condition.condition)
            return lambda row: not inner(row)
        if isinstance(condition, Both):
            all_of = [self._tested(each) for each in condition.conditions]
            return lambda row: all(test(row) for test in all_of)
        if isinstance(condition, Either):
            any_of = [self._tested(each) for each in condition.conditions]
            return lambda row: any(test(row) for test in any_of)
        column = self._column(condition.path)
        if isinstance(condition, Membership):
            wanted = {self._operand(column.field, v, condition.path) for v in condition.values}
            return lambda row: (self._comparable(column, row) in wanted) != condition.negated
        if condition.operator == "LIKE":
            pattern = self._pattern(column.field, condition)
            return lambda row: bool(pattern.fullmatch(str(self.value(column, row) or "")))
        operand = self._operand(column.field, condition.value, condition.path)
        return self._compared(column, condition.operator, operand)

    def _compared(self, column: Column, operator: Operator, operand: Scalar) -> Test:
        if operator == "=":
            return lambda row: self._comparable(column, row) == operand
        if operator == "!=":
            return lambda row: self._comparable(column, row) != operand

        def ordered(row: Row) -> bool:
            held = self._comparable(column, row)
            if held is None or operand is None:
                return False
            # Both are numbers or both are text: `_operand` has seen to it.
            less, same = held < operand, held == operand  # type: ignore[operator]
            if operator[0] == "<":
                return less or (same and operator == "<=")
            return (not less and not same) or (same and operator == ">=")

        return ordered

    def _comparable(self, column: Column, row: Row) -> Scalar:
        value = self.value(column, row)
        return column.field.key(value) if isinstance(value, str) else value

    def _operand(self, field: Field, literal: Value, path: Path) -> Scalar:
        """A value in the form that the field's values are held in. Raises ApiError when it does not suit."""
        value = literal.value
        if literal.kind == "null" or value is None:
            return None
        wanted = "number" if field.type in NUMBERS else field.type if field.type in _PLAIN else "text"
        if literal.kind != wanted:
            how = "should" if wanted == "text" else "should not"
            raise self._invalid(
                path,
                f"value of filter criterion for field '{field.name}' must be of type {field.type} and "
                f"{how} be enclosed in quotes",
            )
        try:
            if wanted == "datetime":
                return values.timestamp(values.instant(str(value)))
            if wanted == "date":
                return date.fromisoformat(str(value)).isoformat()
        except ValueError:
            raise malformed(self._query.text, path.start, f"invalid {wanted}: {value}") from None
        if field.type in ("id", "reference"):
            if (identifier := normal(str(value))) is None:
                raise ApiError(400, "INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {value}")
            return identifier
        return field.key(value)

    def _pattern(self, field: Field, condition: Comparison) -> re.Pattern[str]:
        if field.type in NUMBERS or field.type in _PLAIN or field.type in ("id", "reference"):
            raise ApiError(
                400,
                "INVALID_QUERY_FILTER_OPERATOR",
                f"{drawn(self._query.text, condition.path.start)}\ninvalid operator on {field.type} field",
            )
        parts = re.split(r"(\\[%_]|[%_])", str(condition.value.value))
        wild = {"%": ".*", "_": "."}
        return re.compile(
            "".join(
                wild.get(part) or re.escape(part.removeprefix("\\") if len(part) == 2 else part)
                for part in parts
            ),
            re.DOTALL | (0 if field.case_sensitive else re.IGNORECASE),
        )

    # Indexes

    def _keyed(self, condition: Condition) -> dict[str, None] | None:
        """The only records that can meet the condition, by ID, when indexes tell; None when they do not."""
        if isinstance(condition, Both):
            found = [keyed for each in condition.conditions if (keyed := self._keyed(each)) is not None]
            return min(found, key=len) if found else None
        if isinstance(condition, Either):
            together: dict[str, None] = {}
            for each in condition.conditions:
                if (keyed := self._keyed(each)) is None:
                    return None
                together |= keyed
            return together
        if isinstance(condition, Comparison) and condition.operator == "=":
            wanted: tuple[Value, ...] = (condition.value,)
        elif isinstance(condition, Membership) and not condition.negated:
            wanted = condition.values
        else:
            return None
        column = self._column(condition.path)
        steps = (*column.parents, column.field)
        if any(value.kind == "null" for value in wanted) or not all(field.keyed for field in steps):
            return None
        if any(len(parent.to) != 1 for parent in column.parents):
            return None
        # From the far end back: the parents that hold a wanted value, then the children that name them.
        entities = [self.entity, *(self._schema.entities[parent.to[0]] for parent in column.parents)]
        keys: Iterable[Scalar] = [self._operand(column.field, value, condition.path) for value in wanted]
        for entity, field in zip(reversed(entities), reversed(steps), strict=True):
            keys = dict.fromkeys(i for key in keys for i in self._store.find(entity.name, field.name, key))
        return dict.fromkeys(str(key) for key in keys)


_PLAIN = frozenset({"boolean", "date", "datetime"})
