"""What Salesforce confirmed lately, so that a repeated write need not be sent. Pure."""

from __future__ import annotations

from collections import OrderedDict

import msgspec


class Known(msgspec.Struct, frozen=True, gc=False):
    """What Salesforce last confirmed of a record."""

    digest: bytes
    salesforce_id: str
    version: int


class Confirmed:
    """The last confirmed content of the records written lately, the least recent forgotten first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._known: OrderedDict[str, Known] = OrderedDict()

    def get(self, key: str) -> Known | None:
        """What is known of a record, which counts as a use of it."""
        known = self._known.get(key)
        if known:
            self._known.move_to_end(key)
        return known

    def put(self, key: str, known: Known) -> None:
        """Remembers a confirmation."""
        self._known[key] = known
        self._known.move_to_end(key)
        if len(self._known) > self._size:
            self._known.popitem(last=False)

    def drop(self, key: str) -> None:
        """Forgets a record: something that may change it is on its way."""
        self._known.pop(key, None)

    def clear(self) -> None:
        """Forgets everything."""
        self._known.clear()

    def __len__(self) -> int:
        return len(self._known)
