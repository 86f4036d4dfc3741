"""Whatever the order, people are told of the simulator's truth, each thing once."""

from __future__ import annotations

import random

import pytest

from stream.notify.port import Item, Parcel
from stream.notify.templates import Templates
from stream.sandbox.expected import notices
from stream.sandbox.stripe.world import World
from stream.settings import Notify
from tests.lives import played, rerouted

LIVES, BATCH = 150, 25
TEMPLATES = Templates(Notify())


def messages(world: World, rng: random.Random) -> list[str]:
    """What Slack would get of a shuffled run with duplicates."""
    told = rerouted(world)
    told += rng.choices(told, k=len(told) // 4)
    rng.shuffle(told)
    projector = played(world, told, rng=rng)
    items = (Item(notice, 0, 0) for notice in projector.salesforce.notices.values())
    return [TEMPLATES.render(Parcel("slack", (), (item,))).text for item in items]


@pytest.mark.parametrize("first", range(0, LIVES, BATCH))
def test_each_thing_is_told_once(first: int) -> None:
    for seed in range(first, first + BATCH):
        world = World(seed, 1)
        told = messages(world, random.Random(seed))
        assert notices.compare(notices.notices(world), told) == ([], []), f"seed {seed}"


def test_what_is_not_told_or_told_again_is_seen() -> None:
    world = World(5, 20)
    wanted = notices.notices(world)
    assert {notice.begins for notice in wanted} >= {"New subscription", "Payment failed", "Churned"}
    told = messages(world, random.Random(5))
    missing, surplus = notices.compare(wanted, [*told[1:], told[-1]])
    assert len(missing) == len(surplus) == 1
    assert missing[0].fits(told[0])
    assert surplus[0].endswith(told[-1].splitlines()[0])
