"""Whatever the order, who has left, why, and who is to be won back is the simulator's truth."""

from __future__ import annotations

import random

import pytest

from agents.events import Kept
from stream.sandbox.expected import churn as expected
from stream.sandbox.expected import customers, subscriptions
from stream.sandbox.stripe.world import World
from stream.settings import Churn, Settings
from tests.lives import Projector, played, records

LIVES, BATCH = 100, 25
SETTINGS = Settings(churn=Churn(campaign=expected.CAMPAIGN))


def shuffled(world: World, rng: random.Random) -> list[Kept]:
    """The events in any order, every fourth twice."""
    told = records(world.events)
    told += rng.choices(told, k=len(told) // 4)
    rng.shuffle(told)
    return told


def differences(world: World, projector: Projector) -> list[str]:
    """What Salesforce would hold of those who left, beside what is true."""
    known = customers(world)
    lives = {key: told for key, told in subscriptions.lives(world).items() if key in known}
    ours = projector.salesforce
    wrong = []
    for key in known:
        held, left = ours.writes[f"Account:{key}"], expected.left(lives.get(key, []))
        wrong += [
            f"{key}: {name} is {held.fields.get(name)!r}, not {value!r}"
            for name, value in expected.account(lives.get(key, [])).items()
            if held.fields.get(name) != value
        ]
        before = held.closing.before if held.closing else None
        if before != (left.ended_at if left else None):
            wrong.append(f"{key}: closes what was open before {before}")
    members = {key.partition(":")[2] for key in ours.writes if key.startswith("CampaignMember:")}
    wrong += [f"{one}: on one side only" for one in members ^ expected.members(lives).keys()]
    told = {id_ for id_, notice in ours.notices.items() if notice.workflow == "churn"}
    gone = {f"{left.id}:churn" for one in lives.values() if (left := expected.left(one))}
    return wrong + [f"{one}: told or left, not both" for one in told ^ gone]


@pytest.mark.parametrize("first", range(0, LIVES, BATCH))
def test_who_left_is_whom_the_simulator_says(first: int) -> None:
    for seed in range(first, first + BATCH):
        world, rng = World(seed, 1), random.Random(seed)
        assert differences(world, played(world, shuffled(world, rng), SETTINGS, rng)) == [], f"seed {seed}"


def test_some_of_them_leave_and_some_come_back() -> None:
    left = back = 0
    for seed in range(LIVES):
        for told in subscriptions.lives(World(seed, 1)).values():
            gone = expected.left(told) is not None
            left += gone
            back += not gone and any(one.now.ended_at for one in told)
    assert left > LIVES // 20
    assert back > 0
