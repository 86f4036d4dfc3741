"""The org's allowance of API calls, over the last 24 hours (API Request Limits and Allocations)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

_DAY = 24 * 3600.0
_BUCKET = 60.0


class Quota:
    """Counts uses in minutes, and forgets those older than a day. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._minutes: deque[tuple[float, int]] = deque()
        self._used = 0

    @property
    def used(self) -> int:
        """Uses in the last 24 hours."""
        oldest = self._clock() - _DAY
        while self._minutes and self._minutes[0][0] <= oldest:
            self._used -= self._minutes.popleft()[1]
        return self._used

    def use(self, count: int = 1) -> None:
        """Counts uses, now."""
        if count <= 0:
            return
        now = self._clock()
        if self._minutes and now - self._minutes[-1][0] < _BUCKET:
            start, before = self._minutes[-1]
            self._minutes[-1] = (start, before + count)
        else:
            self._minutes.append((now, count))
        self._used += count

    def set(self, used: int) -> None:
        """Makes it as if this many had been used just now."""
        self._minutes.clear()
        self._used = 0
        self.use(used)
