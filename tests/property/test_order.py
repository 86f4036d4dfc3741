"""Order does not matter: any shuffle of a life's events, with duplicates, ends in the same Salesforce."""

from __future__ import annotations

import random

import pytest

from stream.sandbox.stripe.world import World
from tests.lives import played, records

# 500 lives of up to 60 events, in batches so that a failure names few seeds.
LIVES, BATCH = 500, 25


@pytest.mark.parametrize("first", range(0, LIVES, BATCH))
def test_any_order_of_a_life_ends_in_the_same_salesforce(first: int) -> None:
    for seed in range(first, first + BATCH):
        world = World(seed, 1)
        straight = records(world.events)
        rng = random.Random(seed)
        again = rng.choices(straight, k=len(straight) // 4)
        shuffled = [*straight, *again]
        rng.shuffle(shuffled)
        one, other = played(world, straight).salesforce, played(world, shuffled, rng=rng).salesforce
        assert one.fields == other.fields, f"seed {seed}"
        assert one.notices.keys() == other.notices.keys(), f"seed {seed}"
