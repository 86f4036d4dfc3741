"""Which records are locked by requests in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable


class Locks:
    """Exclusive locks on record IDs, all taken and freed on one event loop."""

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._freed = asyncio.Event()

    def held(self, wanted: Iterable[str]) -> frozenset[str]:
        """Those of the records that are locked now."""
        return frozenset(identifier for identifier in wanted if identifier in self._held)

    def take(self, identifiers: Iterable[str]) -> None:
        """Locks records that nobody holds."""
        for identifier in identifiers:
            self._held.add(identifier)

    def free(self, identifiers: Iterable[str]) -> None:
        """Unlocks records, and wakes whoever waits."""
        for identifier in identifiers:
            self._held.discard(identifier)
        self._freed.set()
        self._freed = asyncio.Event()

    async def wait(self, wanted: frozenset[str], until: float) -> None:
        """Returns when none of the records is locked, or at `until` on the loop's clock."""
        loop = asyncio.get_running_loop()
        while self.held(wanted) and (left := until - loop.time()) > 0:
            try:
                await asyncio.wait_for(self._freed.wait(), left)
            except TimeoutError:
                return
