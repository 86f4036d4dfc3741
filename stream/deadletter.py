"""Dead letters: the original record, untouched, and why it could not go on.

The header names follow Kafka Connect's dead letter queue (KIP-298) under our own prefix.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from stream.records import RowError

Headers = list[tuple[str, bytes]]

PREFIX = "revstream.errors."


def headers(
    original: Iterable[tuple[str, bytes]],
    *,
    topic: str,
    partition: int,
    offset: int,
    stage: str,
    error: RowError,
    attempts: int = 1,
) -> Headers:
    """The original's headers followed by the error's: where it came from, which stage refused it and why.

    `stage` is one of `decode`, `project`, `match`, `write`; `error.code` is Salesforce's status code or, for
    our own reasons, a lower-case word such as `undecodable`.
    """
    told = {
        "topic": topic,
        "partition": str(partition),
        "offset": str(offset),
        "stage": stage,
        "code": error.code,
        "message": error.message,
        "fields": ",".join(error.fields),
        "attempts": str(attempts),
        "failed_at": str(int(time.time() * 1000)),
    }
    return [*original, *((PREFIX + name, value.encode()) for name, value in told.items())]
