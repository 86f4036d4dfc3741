"""Queries whose answer goes on for more than a page."""

from __future__ import annotations

import msgspec

from stream.sandbox.salesforce.identifiers import make
from stream.sandbox.salesforce.soql.plan import Plan
from stream.sandbox.salesforce.store import Row

MAX_CURSORS = 10  # that a user may have open: "SOQL and SOSL Limits"


class Cursor(msgspec.Struct, frozen=True):
    """A query's rows as they were when it ran, and how many of them go on a page."""

    plan: Plan
    rows: list[Row]
    page: int


class Cursors:
    """The queries whose last page has not been read; the oldest is dropped for an eleventh."""

    def __init__(self) -> None:
        self._open: dict[str, Cursor] = {}
        self._number = 0

    def open(self, cursor: Cursor) -> str:
        """Keeps a cursor; gives its ID."""
        self._number += 1
        identifier = make("01g", self._number)
        self._open[identifier] = cursor
        if len(self._open) > MAX_CURSORS:
            del self._open[next(iter(self._open))]
        return identifier

    def get(self, identifier: str) -> Cursor | None:
        """A cursor that is still open."""
        return self._open.get(identifier)
