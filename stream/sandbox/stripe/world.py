"""A whole simulated Stripe: its catalogues, its customers' lives, and everything it tells of them."""

from __future__ import annotations

import random
from collections.abc import Callable

from stream.sandbox.stripe import biography, identities
from stream.sandbox.stripe.book import Movement, StripeEvent
from stream.sandbox.stripe.catalogue import Catalogue
from stream.sandbox.stripe.identities import Identity, Mixture
from stream.sandbox.stripe.life import DAY, Life
from stream.sandbox.stripe.objects import Thing

# The endpoint's API version is raised twice in a run; these are the ones that the renderers are tested for.
VERSIONS = ("2020-08-27", "2024-09-30.acacia", "2026-09-30.endive")
# 2026-08-01 00:00 UTC: fixed, so that a seed repeats, and with its days in the past.
START = 1_785_542_400
DAYS = 100
MIXTURE = Mixture()


class World:
    """The lives of so many customers. The same arguments give the same run, byte for byte, and the lives of the
    first customers do not depend on how many there are.

    `start` is in epoch seconds; nothing happens at or after `start` + `days`. Of `versions` each holds for
    its share of the days, in this order; connected accounts have the middle one all the time. `events` bounds
    what is told of one customer: once so many are told, nothing new begins.

    `things` is the truth at the end, by Thing.key; `events` and `movements` are in true order, those of one
    second in the order in which they happened.
    """

    def __init__(
        self,
        seed: int,
        customers: int,
        *,
        mixture: Mixture = MIXTURE,
        start: int = START,
        days: int = DAYS,
        versions: tuple[str, ...] = VERSIONS,
        events: int = 60,
    ) -> None:
        self.seed, self.start, self.end = seed, start, start + days * DAY
        self._versions = versions
        self.identities: tuple[Identity, ...] = identities.make(
            random.Random(f"{seed}/identities"), customers, mixture
        )
        self.catalogues: dict[str | None, Catalogue] = {}
        for account in dict.fromkeys((None, *(who.account for who in self.identities))):
            rng = random.Random(f"{seed}/catalogue/{account}")
            at = self._version_of(account)
            self.catalogues[account] = Catalogue(rng, account, start - DAY, self.end, at)
        lives = [self._live(who, events) for who in self.identities]
        books = [*(catalogue.book for catalogue in self.catalogues.values()), *(life.book for life in lives)]
        told = [event for book in books for event in book.events]
        # Sorting is stable: events of one second keep their order, the catalogue's before all others.
        self.events: tuple[StripeEvent, ...] = tuple(sorted(told, key=lambda event: event.created))
        moved = [movement for book in books for movement in book.movements]
        self.movements: tuple[Movement, ...] = tuple(sorted(moved, key=lambda movement: movement.at))
        self.things: dict[str, Thing] = {thing.key: thing for book in books for thing in book.things.values()}

    @property
    def catalogue(self) -> Catalogue:
        """What the company itself sells."""
        return self.catalogues[None]

    def version_at(self, at: int, account: str | None = None) -> str:
        """The API version in which the endpoint gets an event of this second."""
        if account:
            return self._versions[len(self._versions) // 2]
        share = (at - self.start) * len(self._versions) // (self.end - self.start)
        return self._versions[min(max(share, 0), len(self._versions) - 1)]

    def _version_of(self, account: str | None) -> Callable[[int], str]:
        return lambda at: self.version_at(at, account)

    def _live(self, who: Identity, events: int) -> Life:
        rng = random.Random(f"{self.seed}/life/{who.index}")
        # Nobody signs up so late that nothing can come of it.
        born = self.start + rng.randint(0, (self.end - self.start) * 4 // 5)
        # The last minute is left for what follows within seconds of the last step.
        life = Life(
            who,
            self.catalogues[who.account],
            rng,
            born,
            self.end - 60,
            self._version_of(who.account),
        )
        biography.write(life)
        life.live(events)
        return life
