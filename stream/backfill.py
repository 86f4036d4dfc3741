"""Which of Stripe's events a backfill is about, and which of them the log lacks. Pure.

Stripe lists an account's events of the last 30 days (docs.stripe.com/api/events/list).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from stream.kafka.plan import PlanError
from stream.stripe import routing
from stream.stripe.envelope import Envelope

KEPT = timedelta(days=30)
# docs.stripe.com/api/events/list#list_events-types
MOST_TYPES = 20
# Of one backfill: what is remembered of an event takes some 300 bytes until it is in the log.
MOST_EVENTS = 500_000
# An event is in the log no earlier than it was created, but for what two clocks differ.
SKEW_SECONDS = 3600


class Wanted(msgspec.Struct, frozen=True):
    """Which events are wanted: those created from `since` on and before `until` (epoch seconds), of these types
    unless there are none, and of the customer (`cus_…`) if one is named."""

    since: int
    until: int
    types: tuple[str, ...] = ()
    customer: str | None = None

    @property
    def query(self) -> dict[str, Any]:
        """How Stripe is asked for them; it does not know a filter by customer."""
        created = {"gte": self.since, "lt": self.until}
        return {"created": created, **({"types": list(self.types)} if self.types else {})}

    def takes(self, event: Envelope) -> bool:
        """Whether an event that Stripe lists is of the customer who is asked for."""
        if self.customer is None:
            return True
        return routing.key(event) in (self.customer, f"{event.account}/{self.customer}")


def wanted(
    since: datetime, until: datetime | None, types: Sequence[str], customer: str | None, now: datetime
) -> Wanted:
    """What was asked for, up to the second that is not over yet. Raises PlanError when Stripe can't tell it."""
    if since < now - KEPT:
        raise PlanError(
            f"Stripe keeps events for {KEPT.days} days: --since can be {_first(now)} at the earliest. What the "
            f"log holds of older ones is sent again by revstream replay --since. What neither has is told whole "
            f"by an object's next event; any update of it in Stripe, of its metadata too, makes one."
        )
    if len(types) > MOST_TYPES:
        raise PlanError(f"Stripe takes at most {MOST_TYPES} types at once; these are {len(types)}.")
    begin, end = int(since.timestamp()), int(min(until or now, now).timestamp())
    if begin >= end:
        raise PlanError("--since is to be earlier than --until, and than now.")
    return Wanted(begin, end, tuple(dict.fromkeys(types)), customer)


def advice(since: datetime, now: datetime) -> str:
    """What to do about a time before the log's beginning."""
    if since < now - KEPT:
        return f"Stripe still has those since {_first(now)}: revstream backfill --since {_first(now)}"
    return f"Stripe still has them: revstream backfill --since {_text(since)}"


def _first(now: datetime) -> str:
    """The earliest time to ask for, rounded up so that there is a minute to do so."""
    return _text((now - KEPT).replace(second=0, microsecond=0) + timedelta(minutes=2))


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Told(msgspec.Struct, frozen=True, gc=False):
    """What is remembered of an event that Stripe lists. `created` is epoch seconds."""

    type: str
    key: str
    created: int


class Gap:
    """What Stripe lists, and by account and ID what of it the log lacks, newest first."""

    def __init__(self, most: int = MOST_EVENTS) -> None:
        self.listed = 0
        self.lacking: dict[str | None, dict[str, Told]] = {}
        self._most = most

    def add(self, account: str | None, event: Envelope) -> None:
        """Stripe lists it: the next older of its account. Raises PlanError when they are too many."""
        if self.listed == self._most:
            raise PlanError(
                f"Stripe lists over {self._most} events of that time. Fetch it in parts: --since "
                f"{_text(datetime.fromtimestamp(event.created + 1, UTC))} first, and then the same "
                f"as --until with the --since that you gave."
            )
        self.listed += 1
        told = Told(event.type, routing.key(event), event.created)
        self.lacking.setdefault(account, {})[event.id] = told

    def drop(self, id_: str) -> None:
        """The log holds it."""
        for lacking in self.lacking.values():
            lacking.pop(id_, None)

    def oldest(self, account: str | None) -> str | None:
        """The ID of the first event of an account that the log lacks."""
        return next(reversed(self.lacking.get(account, {})), None)

    @property
    def events(self) -> list[Told]:
        """Those that the log lacks."""
        return [told for lacking in self.lacking.values() for told in lacking.values()]

    @property
    def types(self) -> Counter[str]:
        """How many of each type the log lacks."""
        return Counter(told.type for told in self.events)
