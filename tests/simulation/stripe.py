"""Stripe's API as it answers about a simulated world: the final truth, after a moment."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

import msgspec

from stream.sandbox.stripe import render
from stream.sandbox.stripe.objects import Charge, Customer, Subscription, Thing, key_of
from stream.sandbox.stripe.world import World
from stream.stripe import shapes
from stream.stripe.api import Away, NotFound
from stream.stripe.catalogue import Entry
from tests.lives import API_VERSION, entry


class Stripe:
    """What `agents.steps` asks of `StripeApi`. `trouble` is the chance that it is away."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.trouble = 0.0
        self._world = world
        self._chance = chance

    async def price(self, id_: str, account: str | None = None) -> Entry:
        return entry(await self._asked(id_, account), self._world.things)

    async def coupon(self, id_: str, account: str | None = None) -> Entry:
        return entry(await self._asked(id_, account), self._world.things)

    async def customer(self, id_: str, account: str | None = None) -> shapes.Customer:
        thing = await self._asked(id_, account)
        assert isinstance(thing, Customer)
        if thing.deleted:
            return shapes.Customer(id_, deleted=True)
        return shapes.customer(self._body(thing))

    async def charge(self, id_: str, account: str | None = None) -> shapes.Charge:
        thing = await self._asked(id_, account)
        assert isinstance(thing, Charge)
        return shapes.charge(self._body(thing))

    async def subscription(self, id_: str, account: str | None = None) -> shapes.Subscription:
        return shapes.subscription(self._body(await self._asked(id_, account)))

    async def subscriptions(
        self, customer: str, account: str | None = None
    ) -> tuple[shapes.Subscription, ...]:
        await self._asked(customer, account)
        return tuple(
            shapes.subscription(self._body(thing))
            for thing in self._world.things.values()
            if isinstance(thing, Subscription) and (thing.account, thing.customer) == (account, customer)
        )

    async def discounts(
        self, subscription: str, wanted: Collection[str], account: str | None = None
    ) -> dict[str, shapes.Discount]:
        await self.subscription(subscription, account)
        found = (self._world.things.get(key_of(account, id_)) for id_ in wanted)
        told = (shapes.discount(self._body(thing)) for thing in found if thing is not None)
        return {one.id: one for one in told if one.subscription == subscription}

    async def _asked(self, id_: str, account: str | None) -> Thing:
        if self._chance.random() < self.trouble:
            raise Away(f"Stripe does not answer for {id_}.")
        thing = self._world.things.get(key_of(account, id_))
        if thing is None:
            raise NotFound(f"Stripe has no {id_}.")
        return thing

    def _body(self, thing: Thing, expand: Sequence[str] = ()) -> bytes:
        return msgspec.json.encode(render.thing(thing, API_VERSION, expand, self._world.things))
