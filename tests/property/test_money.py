"""Whatever the order, what is told of money is the simulator's truth, to the cent."""

from __future__ import annotations

import random

import pytest

from stream.sandbox.expected import money
from stream.sandbox.stripe.objects import Customer
from stream.sandbox.stripe.world import World
from tests.lives import Projector, played, rerouted

LIVES, BATCH = 300, 25


def differences(world: World, projector: Projector) -> list[str]:
    """What Salesforce would hold of money, beside what is true."""
    purses = money.purses(world)
    true = {
        f"Account:{key}": money.account(thing, purses.get(key, money.Purse()))
        for key, thing in world.things.items()
        if isinstance(thing, Customer)
    }
    true |= {f"Task:{id_}": record for id_, record in money.tasks(purses.values()).items()}
    true |= {f"Case:{id_}": record for id_, record in money.cases(purses.values()).items()}
    ours = {
        key: fields
        for key, fields in projector.salesforce.fields.items()
        if key.partition(":")[0] in ("Account", "Task", "Case")
    }
    wrong = [f"{key}: only on one side" for key in true.keys() ^ ours.keys()]
    return wrong + [
        f"{key}: {name} is {ours[key].get(name)!r}, not {value!r}"
        for key, record in true.items()
        for name, value in record.items()
        if key in ours and ours[key].get(name) != value
    ]


@pytest.mark.parametrize("first", range(0, LIVES, BATCH))
def test_lifetime_value_risk_tasks_and_cases_are_the_ledgers(first: int) -> None:
    for seed in range(first, first + BATCH):
        world = World(seed, 1)
        rng = random.Random(seed)
        told = rerouted(world)
        told += rng.choices(told, k=len(told) // 4)
        rng.shuffle(told)
        assert differences(world, played(world, told, rng=rng)) == [], f"seed {seed}"


@pytest.mark.parametrize("seed", range(5))
def test_a_replay_of_everything_changes_nothing(seed: int) -> None:
    world = World(seed, 4, events=200)
    told = rerouted(world)
    rng = random.Random(seed)
    projector = played(world, told, rng=rng)
    once = projector.salesforce.fields
    for record in rng.sample(told, k=len(told)):
        projector.work([record])
    assert projector.salesforce.fields == once
    assert differences(world, projector) == []
