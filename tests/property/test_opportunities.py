"""Whatever the order, Opportunities and what Accounts say of subscriptions are the simulator's, to the cent."""

from __future__ import annotations

import random

import pytest

from stream.sandbox.expected import customers, opportunities, subscriptions
from stream.sandbox.stripe.objects import Subscription
from stream.sandbox.stripe.world import World
from tests.lives import Projector, played, records

LIVES, BATCH = 200, 25


def differences(world: World, projector: Projector) -> list[str]:
    """What Salesforce would hold of subscriptions, beside what is true."""
    lives = subscriptions.lives(world)
    ours = projector.salesforce.fields
    held = [
        {**fields, "Amount": opportunities.two_decimals(fields["Amount"])}
        for key, fields in ours.items()
        if key.startswith("Opportunity:")
    ]
    true = opportunities.keyed(it for told in lives.values() for it in opportunities.deals(told))
    told = opportunities.keyed(held)
    true |= {
        key: subscriptions.account(world, customer, lives.get(key, []))
        for key, customer in customers(world).items()
    }
    told |= {key.partition(":")[2]: fields for key, fields in ours.items() if key.startswith("Account:")}
    wrong = [f"{key}: only on one side" for key in true.keys() ^ told.keys()]
    return wrong + [
        f"{key}: {name} is {told[key].get(name)!r}, not {value!r}"
        for key, record in true.items()
        for name, value in record.items()
        if key in told and told[key].get(name) != value
    ]


@pytest.mark.parametrize("first", range(0, LIVES, BATCH))
def test_opportunities_and_accounts_are_as_the_subscriptions_were(first: int) -> None:
    for seed in range(first, first + BATCH):
        world, rng = World(seed, 1), random.Random(seed)
        told = records(world.events)
        told += rng.choices(told, k=len(told) // 4)
        rng.shuffle(told)
        assert differences(world, played(world, told, rng=rng)) == [], f"seed {seed}"


def test_some_have_mixed_intervals_and_items_on_trial() -> None:
    mixed = trials = 0
    for seed in range(LIVES):
        for thing in World(seed, 1).events:
            if isinstance(it := thing.thing, Subscription):
                mixed += len({item.price.interval for item in it.items}) > 1
                trials += any(item.trial_end for item in it.items)
    assert mixed > trials > 0
