"""One customer's life: its clock, its agenda and its book."""

from __future__ import annotations

import calendar
import heapq
import random
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction

from stream.sandbox.stripe.book import Book
from stream.sandbox.stripe.catalogue import Catalogue
from stream.sandbox.stripe.identities import Identity
from stream.sandbox.stripe.objects import Customer, Interval, Line, Subscription

MINUTE, HOUR, DAY = 60, 3600, 86_400


class Life:
    """What one customer is and does from `start` to `end` (epoch seconds). `now` is its clock.

    What it plans it writes in its agenda with `at`; `live` does it in the order of time. What is due at the
    same second is done in the order in which it was planned.
    """

    def __init__(
        self,
        identity: Identity,
        catalogue: Catalogue,
        rng: random.Random,
        start: int,
        end: int,
        version_at: Callable[[int], str],
    ) -> None:
        self.identity = identity
        self.catalogue = catalogue
        self.rng = rng
        self.now = start
        self.end = end
        self.book = Book(rng, identity.account, version_at)
        self.edits = 0
        self.invoices = 0
        self.notes = 0
        # Prorations that wait for the next invoice, by subscription.
        self.pending: dict[str, tuple[Line, ...]] = {}
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._planned = 0
        self._mark = 0

    @property
    def customer(self) -> Customer:
        """The customer as it now is."""
        return self.book.get(self.identity.id, Customer)

    @property
    def signed_up(self) -> bool:
        """Whether there is a customer yet."""
        return self.identity.id in self.book.things

    @property
    def gone(self) -> bool:
        """Whether the customer has been deleted."""
        return self.signed_up and self.customer.deleted

    def subscriptions(self, *statuses: str) -> list[Subscription]:
        """The customer's subscriptions in these states, oldest first; in any when none is named."""
        return [
            thing
            for thing in self.book.things.values()
            if isinstance(thing, Subscription) and (not statuses or thing.status in statuses)
        ]

    def at(self, when: int, do: Callable[[], None]) -> None:
        """Plans something; what lies after the end is not done."""
        if when < self.end:
            self._planned += 1
            heapq.heappush(self._agenda, (when, self._planned, do))

    def live(self, limit: int) -> None:
        """Does everything that is planned, and what that plans. Once so many events have been told, nothing
        more is begun."""
        while self._agenda and len(self.book.events) < limit:
            when, _, do = heapq.heappop(self._agenda)
            self.now = max(self.now, when)
            self.book.automatic()
            do()

    def tick(self, seconds: int = 1) -> int:
        """Lets a little time pass, or none: what one call causes often falls into one second."""
        self.now += self.rng.randint(0, seconds)
        return self.now

    def chance(self, share: float) -> bool:
        """Whether something happens that happens this often."""
        return self.rng.random() < share

    def begin(self) -> None:
        """From here on events belong to the next movement."""
        self._mark = len(self.book.events)

    def moved(
        self,
        kind: str,
        subject: str | None = None,
        monthly: tuple[Fraction, Fraction] = (Fraction(0), Fraction(0)),
    ) -> None:
        """Something has happened; see Movement. `monthly` is what was and what is, of a subscription."""
        self.book.moved(self.now, kind, self.identity.key, subject or self.identity.id, self._mark, monthly)
        self.begin()


def later(at: int, interval: Interval, count: int, anchor: int) -> int:
    """The end of a period that starts at `at`. Months end on the anchor's day, or on their last before it
    (docs.stripe.com/billing/subscriptions/billing-cycle)."""
    if interval == "day":
        return at + count * DAY
    if interval == "week":
        return at + count * 7 * DAY
    start = datetime.fromtimestamp(at, UTC)
    months = start.year * 12 + start.month - 1 + count * (12 if interval == "year" else 1)
    year, month = months // 12, months % 12 + 1
    day = min(datetime.fromtimestamp(anchor, UTC).day, calendar.monthrange(year, month)[1])
    return int(start.replace(year=year, month=month, day=day).timestamp())
