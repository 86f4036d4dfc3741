"""What a replay will cost Salesforce, told before it begins. Pure.

How many calls it takes depends on how the writer's windows fall, which nobody knows beforehand: so the least and
the most are told. At least everything goes in one window; at most each chunk of the projector has one of its own.
Records that are set aside are counted with the others, so a few calls fewer may do.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

import msgspec

from stream.salesforce.budget import Usage
from stream.salesforce.planner import CALL_ROWS, JOB_ROWS

# Create, upload, close, at least one look, results of two kinds, unprocessed rows.
JOB_CALLS = 7
# Five queries of some 500 IDs go in one call that looks up what records hold, or whose they are.
LOOKUP_ROWS = 2500
# One Collections call of 200 rows and one job of 10,000, in seconds: round figures, since an org's triggers and
# flows decide.
CALL_SECONDS = 2.0
JOB_SECONDS = 120.0


class Load(msgspec.Struct, frozen=True):
    """What is to be written. `rows` are the records by object, each once; `looked_up` the objects of which
    something is asked for before they are written. `windows` are the most that it may fall into, `again` how often
    one record may be written in them."""

    rows: Mapping[str, int]
    looked_up: frozenset[str] = frozenset()
    windows: int = 1
    again: float = 1.0


class Estimate(msgspec.Struct, frozen=True):
    """So many rows, calls and minutes, at least and at most. `left` is what the org may still call today within our
    share of its budget, None when Salesforce was not asked or did not answer."""

    rows: tuple[int, int]
    calls: tuple[int, int]
    minutes: tuple[float, float]
    left: int | None = None

    @property
    def told(self) -> str:
        """In words."""
        return f"{_span(self.rows)} rows, {_span(self.calls)} API calls, {_span(self.minutes)} minutes"


def estimate(load: Load, *, bulk_from: int, concurrency: int, share: float, usage: Usage | None) -> Estimate:
    """The cost of a load, in an org where a call takes CALL_SECONDS and a job JOB_SECONDS."""
    least, most, fast, slow = 0, 0, 0.0, 0.0
    for object_, rows in load.rows.items():
        many = ceil(rows * load.again)
        asked = object_ in load.looked_up
        collections = min(many, ceil(many / CALL_ROWS) + load.windows - 1)
        lookups = min(many, ceil(many / LOOKUP_ROWS) + load.windows - 1) if asked else 0
        if rows >= bulk_from:
            jobs = ceil(rows / JOB_ROWS)
            least += jobs * JOB_CALLS
            fast += jobs * JOB_SECONDS
        else:
            least += ceil(rows / CALL_ROWS)
            fast += ceil(rows / CALL_ROWS) / concurrency * CALL_SECONDS
        most += max(collections, ceil(many / JOB_ROWS) * JOB_CALLS if many >= bulk_from else 0) + lookups
        slow += max(fast, (collections + lookups) * CALL_SECONDS)
    total = sum(load.rows.values())
    left = max(0, int(usage.limit * share) - usage.used) if usage else None
    minutes = (round(fast / 60, 1), round(slow / 60, 1))
    return Estimate((total, ceil(total * load.again)), (least, max(least, most)), minutes, left)


def _span(of: tuple[float, float]) -> str:
    return f"{of[0]}" if of[0] == of[1] else f"{of[0]} to {of[1]}"
