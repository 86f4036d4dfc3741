"""What is worked out once, or not read again, is what it would be afresh."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.events import State
from agents.mapping import ACCOUNT
from agents.pricing import Unpriceable
from agents.touched import Touched
from stream.sandbox.stripe.world import World
from stream.stripe import shapes
from tests.lives import SETTINGS, Projector, played, records

texts = st.text("abc", max_size=3)
leaves = (
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | texts | st.lists(st.integers(0, 9), max_size=3)
)
objects = st.recursive(
    st.dictionaries(texts, leaves, max_size=4),
    lambda inner: st.dictionaries(texts | st.just("metadata"), leaves | inner, max_size=4),
    max_leaves=20,
)


def laid_over(base: dict[str, Any], previous: dict[str, Any], inside: str = "") -> dict[str, Any]:
    """As Stripe documents it, on what the JSON says."""
    merged = dict(base)
    for name, value in previous.items():
        held = base.get(name)
        if isinstance(value, dict) and isinstance(held, dict):
            merged[name] = laid_over(held, value, name)
        elif value is None and inside == "metadata":
            merged.pop(name, None)
        else:
            merged[name] = value
    return merged


@given(objects, objects, st.sampled_from([None, 1]))
def test_what_an_update_left_alone_is_copied_as_it_is(
    base: dict[str, Any], previous: dict[str, Any], indent: int | None
) -> None:
    raw = json.dumps(base, indent=indent).encode()
    assert json.loads(shapes.before(raw, previous)) == laid_over(base, previous)


amounts = st.integers(0, 10**6).map(str)


@given(st.lists(amounts, min_size=1, max_size=4), st.sampled_from([None, 1]))
def test_a_price_that_was_read_before_is_read_alike(told: list[str], indent: int | None) -> None:
    """The same price, but for its amount, under one ID: as two accounts may have it."""
    prices = [{"id": "price_1", "currency": "usd", "unit_amount_decimal": amount} for amount in told]
    items = [{"id": f"si_{n}", "quantity": 1, "price": price} for n, price in enumerate(prices)]
    it = {"id": "sub_1", "status": "active", "items": {"data": items}}
    read = shapes.subscription(json.dumps(it, indent=indent).encode())
    assert [item.price for item in read.items] == [
        shapes.price(json.dumps(price).encode()) for price in prices
    ]


@given(st.lists(st.none() | st.integers(0, 9), min_size=2, max_size=4))
def test_items_that_were_read_before_are_in_the_period_of_their_own_subscription(
    ends: list[int | None],
) -> None:
    """Before basil an item has no period: the same bytes then stand for several."""
    price = {"id": "price_1", "currency": "usd"}
    it = {"id": "sub_1", "status": "active", "items": {"data": [{"id": "si_1", "price": price}]}}
    for end in ends:
        read = shapes.subscription(json.dumps({**it, "current_period_end": end}).encode())
        assert read.period_end == end


def answers(touched: Touched, sources: list[str]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for source in sources:
        try:
            told[source] = ACCOUNT[source](touched)
        except Unpriceable as error:
            told[source] = str(error)
    return told


@pytest.mark.parametrize("seed", range(30))
def test_a_field_is_the_same_whatever_was_asked_before(seed: int) -> None:
    world = World(seed, 1)
    projector: Projector = played(world, records(world.events))
    for key, row in projector._rows.items():

        def fresh(key: str = key.decode(), row: bytes = row) -> Touched:
            return Touched(key, msgspec.json.decode(row, type=State), (), projector._shelf(key), SETTINGS)

        alone = {source: answers(fresh(), [source])[source] for source in ACCOUNT}
        shared, rng = fresh(), random.Random(seed)
        for _ in range(3):
            order = rng.sample(sorted(ACCOUNT), len(ACCOUNT))
            assert answers(shared, order) == alone
