"""The parts of a SOQL query, as written: no name in it has been looked up yet."""

from __future__ import annotations

from typing import Literal

import msgspec

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "LIKE"]


class Path(msgspec.Struct, frozen=True):
    """A field, through any number of parents: `Account.Owner.Name`. `start` is where it stands."""

    steps: tuple[str, ...]
    start: int


class Value(msgspec.Struct, frozen=True):
    """A value. `kind` is how it was written, which must suit the field it is compared with."""

    kind: Literal["text", "number", "date", "datetime", "boolean", "null"]
    value: str | int | float | bool | None


class Comparison(msgspec.Struct, frozen=True):
    """`path operator value`."""

    path: Path
    operator: Operator
    value: Value


class Membership(msgspec.Struct, frozen=True):
    """`path [NOT] IN (values)`."""

    path: Path
    values: tuple[Value, ...]
    negated: bool


class Not(msgspec.Struct, frozen=True):
    """`NOT condition`."""

    condition: Condition


class Both(msgspec.Struct, frozen=True):
    """All of these: `a AND b AND …`."""

    conditions: tuple[Condition, ...]


class Either(msgspec.Struct, frozen=True):
    """Any of these: `a OR b OR …`."""

    conditions: tuple[Condition, ...]


Condition = Comparison | Membership | Not | Both | Either


class Order(msgspec.Struct, frozen=True):
    """One key of ORDER BY."""

    path: Path
    descending: bool = False
    nulls_last: bool = False


class Query(msgspec.Struct, frozen=True):
    """A whole query. `count` is `SELECT COUNT()`, which has no paths."""

    text: str
    entity: str
    entity_start: int
    paths: tuple[Path, ...] = ()
    count: bool = False
    where: Condition | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
