"""Which writes may go now: a lane per object, and one gate before all of them. Pure.

The gate closes when Salesforce is away, the login fails or the budget is spent; a lane closes when the org
lacks what the object needs. Each opens again by trial: after a wait that grows, a few rows go first.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import msgspec

ALL = "all"  # the gate, as the metric's label

AWAY = "away"
LOGIN = "login"
QUOTA = "quota"
CONFIGURATION = "configuration"
OPERATOR = "operator"  # somebody asked for it; only they open it again

# Rows of a trial: one small call.
TRIAL_ROWS = 10

UNLIMITED = 1_000_000_000


class Pace(msgspec.Struct, frozen=True):
    """How long to wait, in seconds: first and longest, by reason. A wait doubles each time."""

    away: tuple[float, float] = (0.5, 60.0)
    login: tuple[float, float] = (2.0, 60.0)
    quota: tuple[float, float] = (5.0, 300.0)  # a look at the limits is a call, too
    configuration: tuple[float, float] = (30.0, 600.0)
    row: tuple[float, float] = (0.5, 30.0)
    poll: tuple[float, float] = (0.5, 10.0)  # of a Bulk job
    job_seconds: float = 600.0  # after which a Bulk job is said to be late
    gather_seconds: float = 2.0  # most that a window waits for a backlog to be read
    revoke_seconds: float = 245.0  # for what is in flight when partitions are taken away: two calls of 120 s

    def wait(self, reason: str, failures: int, chance: Callable[[], float] = random.random) -> float:
        """Seconds to wait after so many failures: exponential, with jitter over its upper half, so that many
        writers do not come back at once."""
        pair: tuple[float, float] = getattr(self, reason)
        first, longest = pair
        return min(longest, first * 2.0 ** min(failures - 1, 30)) * (0.5 + chance() / 2)


class Lane(msgspec.Struct):
    """A closed lane or gate. `until` is monotonic seconds."""

    reason: str
    failures: int
    until: float
    told: str = ""


class Lanes:
    """All lanes of a writer."""

    def __init__(self, pace: Pace, chance: Callable[[], float] = random.random) -> None:
        self._pace = pace
        self._chance = chance
        self._closed: dict[str, Lane] = {}
        self._held: frozenset[str] = frozenset()

    def close(self, name: str, reason: str, now: float, told: str = "") -> bool:
        """Closes a lane, or the gate (ALL), for a time that grows. True when it was open, or closed for another
        reason: what a person is to be told of."""
        lane = self._closed.get(name)
        if lane is not None and lane.reason == reason and now < lane.until:
            return False  # another call that was under way when it closed
        failures = lane.failures + 1 if lane is not None and lane.reason == reason else 1
        until = now + self._pace.wait(reason, failures, self._chance)
        self._closed[name] = Lane(reason, failures, until, told)
        return lane is None or (lane.reason, lane.told) != (reason, told)

    def open(self, name: str) -> Lane | None:
        """Opens a lane, or the gate; gives what it was closed for."""
        return self._closed.pop(name, None)

    def hold(self, names: Iterable[str]) -> None:
        """Holds these lanes, or the gate, back for an operator, beside what else they may be closed for; lets go of
        all others."""
        self._held = frozenset(names)

    @property
    def held(self) -> frozenset[str]:
        """What an operator holds back."""
        return self._held

    def closed(self) -> dict[str, str]:
        """What is closed, and for what reason."""
        return {name: lane.reason for name, lane in self._closed.items()}

    def allowance(self, object_: str, now: float) -> int:
        """How many rows of an object may go now."""
        if self._held & {ALL, object_}:
            return 0
        lanes = [self._closed[name] for name in (ALL, object_) if name in self._closed]
        if any(now < lane.until for lane in lanes):
            return 0
        # A first failure is mostly a blip; a gate closed for longer is tried with a few rows.
        return TRIAL_ROWS if any(lane.failures > 1 or lane.reason != AWAY for lane in lanes) else UNLIMITED

    def due(self, name: str, now: float) -> Lane | None:
        """The closed lane if it is time to try it."""
        lane = self._closed.get(name)
        return lane if lane is not None and now >= lane.until else None

    def next_trial(self, after: float) -> float | None:
        """When the next lane is to be tried, of the trials after a time."""
        return min((lane.until for lane in self._closed.values() if lane.until > after), default=None)
