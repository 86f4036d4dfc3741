"""The rule that one request may name a record only once.

All rows that share an external ID within one request, or one chunk of a Bulk job, are refused with
"Duplicate external id specified"; the others go through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from stream.sandbox.salesforce import values
from stream.sandbox.salesforce.dml import Saved
from stream.sandbox.salesforce.errors import RowError
from stream.sandbox.salesforce.schema import Field, Schema


def key_of(schema: Schema, key: Field, value: Any) -> object:
    """What makes two external IDs the same; None for one that is missing or cannot be."""
    try:
        held = values.read(key, value, schema, "csv")
    except RowError:
        return None
    return None if held is None else key.key(held)


def duplicates(keys: Sequence[object]) -> set[object]:
    """The external IDs that more than one row has."""
    return {key for key, count in Counter(keys).items() if count > 1 and key is not None}


def duplicate(key: Field, value: object) -> RowError:
    """The refusal of a row that shares its external ID."""
    return RowError("DUPLICATE_VALUE", f"Duplicate external id specified: {value}", key.name)


def refuse(error: RowError) -> Saved:
    """A write that is refused before it is tried."""
    raise error
