"""What a replay will cost Salesforce, told before it begins. Pure."""

from __future__ import annotations

from math import ceil

import msgspec

from stream.salesforce.budget import Usage
from stream.salesforce.planner import CALL_ROWS, JOB_ROWS

# Create, upload, close, at least one look, results of two kinds, unprocessed rows.
JOB_CALLS = 7
# One Collections call of 200 rows and one job of 10,000, in seconds: round figures, since an org's triggers and
# flows decide.
CALL_SECONDS = 2.0
JOB_SECONDS = 120.0


class Estimate(msgspec.Struct, frozen=True):
    """At most so many rows, calls and minutes. `left` is what the org may still call today within our share of its
    budget, None when Salesforce was not asked or did not answer."""

    rows: int
    calls: int
    minutes: float
    left: int | None = None


def estimate(
    customers: int, objects: int, *, bulk_from: int, concurrency: int, share: float, usage: Usage | None
) -> Estimate:
    """Of customers whose records are all written once. Many events of one customer cost one row per object and
    window, so it can be more where a replay is long and busy customers come in many windows."""
    if customers >= bulk_from:
        jobs = objects * ceil(customers / JOB_ROWS)
        calls, seconds = jobs * JOB_CALLS, jobs * JOB_SECONDS
    else:
        calls = objects * ceil(customers / CALL_ROWS)
        seconds = calls / concurrency * CALL_SECONDS
    left = max(0, int(usage.limit * share) - usage.used) if usage else None
    return Estimate(customers * objects, calls, round(seconds / 60, 1), left)
