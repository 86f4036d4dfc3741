"""The org's daily calls: how much is used, and what that means for the writer. Pure.

Every REST answer carries `Sforce-Limit-Info`, such as `api-usage=10018/100000; api-bursts=1/750` or
`api-usage=25/5000; per-app-api-usage=17/250(appName=sample-connected-app)`: used / limit (REST API Developer
Guide: "Limit Info Header"). The day is a rolling one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

_PART = re.compile(r"([\w-]+)\s*=\s*(\d+)\s*/\s*(\d+)")

# As the budget goes, windows wait longer: fewer, fuller calls. Share used → seconds.
_LINGER = ((0.9, 30.0), (0.8, 10.0), (0.6, 2.0))


class Usage(msgspec.Struct, frozen=True):
    """Calls used by everyone in the last 24 hours, and how many the org may make; the same for our own app
    where the org gives it a quota of its own (0 of 0 if not)."""

    used: int
    limit: int
    app_used: int = 0
    app_limit: int = 0

    @property
    def share(self) -> float:
        """Of the budget that is nearer its end; 1 is all of it."""
        pairs = ((self.used, self.limit), (self.app_used, self.app_limit))
        return max((used / limit for used, limit in pairs if limit), default=0.0)


def read_header(value: str | None) -> Usage | None:
    """From `Sforce-Limit-Info`; None where it is missing or says nothing of the daily calls."""
    parts = {name: (int(used), int(limit)) for name, used, limit in _PART.findall(value or "")}
    if "api-usage" not in parts:
        return None
    return Usage(*parts["api-usage"], *parts.get("per-app-api-usage", (0, 0)))


def read_limits(limits: Mapping[str, Any]) -> Usage | None:
    """From the answer of `/limits` (REST API Developer Guide: "Limits"), which tells what is left."""
    daily = limits.get("DailyApiRequests")
    if not isinstance(daily, Mapping) or "Max" not in daily or "Remaining" not in daily:
        return None
    return Usage(int(daily["Max"]) - int(daily["Remaining"]), int(daily["Max"]))


def linger(usage: Usage | None, base: float) -> float:
    """Seconds that a window waits for more rows."""
    share = usage.share if usage else 0.0
    return max(base, next((seconds for from_, seconds in _LINGER if share >= from_), base))


def spent(usage: Usage | None, share: float) -> bool:
    """Whether we stop, and leave the rest to the org's other integrations."""
    return usage is not None and usage.share >= share
