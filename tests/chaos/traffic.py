"""What flows all the while: the lives of simulated customers, spread evenly over the run."""

from __future__ import annotations

import time

from stream.gateway.webhook import PATH
from stream.sandbox.stripe.delivery import Delivery, Manner, deliver, order
from stream.sandbox.stripe.identities import Mixture
from stream.sandbox.stripe.world import World
from tests.chaos.group import SECRET

EVENTS_PER_CUSTOMER = 38  # on average, with the worlds of this length
DUPLICATES = 0.05
# Of events that Stripe tells one after the other: some seconds of them, so that order is never kept.
WINDOW = 60
# After the last fault everything is taken soon; until then a refused webhook waits for its next try.
PATIENCE_SECONDS = 600.0

# All records are seeded unambiguously: one that Salesforce knows twice is for a person to decide.
MIXTURE = Mixture(ambiguous=0.0)


# The lives take 100 days and are played in minutes, and Stripe's API tells how they ended. Later versions name
# discounts by ID alone, and one that was removed before any invoice bore it cannot be asked for by then.
VERSIONS = ("2020-08-27", "2024-09-30.acacia")


def world(seed: int, seconds: float, per_second: float) -> World:
    """Customers with about as many events as the rate makes."""
    customers = max(5, round(seconds * per_second / EVENTS_PER_CUSTOMER))
    return World(seed, customers, mixture=MIXTURE, versions=VERSIONS)


class Traffic:
    """Sends a world's events to a gateway, over so many seconds, whatever happens meanwhile."""

    def __init__(self, world: World, seed: int, seconds: float) -> None:
        self._world = world
        base = Manner(duplicates=DUPLICATES, shuffle=True, window=WINDOW, seed=seed)
        self._manner = Manner(
            duplicates=DUPLICATES,
            shuffle=True,
            window=WINDOW,
            seed=seed,
            concurrency=500,
            timeout=20,
            longest_backoff=10,
            patience=seconds + PATIENCE_SECONDS,
            per_second=len(order(world.events, base)) / seconds,
        )
        self._taken: list[float] = []

    async def flow(self, gateway: str) -> Delivery:
        """Sends everything; `gateway` is its `host:port`."""
        return await deliver(
            self._world.events,
            f"http://{gateway}{PATH}",
            SECRET,
            self._manner,
            progress=lambda done, total: self._taken.append(time.monotonic()),
        )

    def between(self, began: float, ended: float) -> int:
        """Deliveries that were taken between two monotonic times."""
        return sum(began <= at <= ended for at in self._taken)
