"""Fewer log lines from the Kafka client: without Kafka it writes thirty a second, in each stage."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

EVERY_SECONDS = 30.0


class OneOfMany(logging.Filter):
    """Lets a client's line of one kind through once in a while. All other loggers' lines pass.

    A kind is the text before its values are put in.
    """

    def __init__(self, client: str, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._client = client
        self._now = now
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if record.name.partition(".")[0] != self._client:
            return True
        now, kind = self._now(), str(record.msg)
        if now - self._last.get(kind, -EVERY_SECONDS) < EVERY_SECONDS:
            return False
        self._last[kind] = now
        return True


def quieten(client: str) -> None:
    """Filters a client's lines wherever this process writes its log."""
    one_of_many = OneOfMany(client)
    for handler in logging.getLogger().handlers:
        handler.addFilter(one_of_many)
