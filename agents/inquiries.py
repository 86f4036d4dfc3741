"""What is asked of Stripe while a chunk is folded: whatever its events do not tell in full."""

from __future__ import annotations

import asyncio
from functools import partial

import msgspec

from agents import projector
from agents.stock import account_of
from stream import metrics
from stream.stripe.api import NoAnswer, StripeApi
from stream.stripe.patience import patiently
from stream.stripe.shapes import Customer
from tables import customer_mapping, subscriptions
from tables.versions import Rank, Telling


class Inquiries:
    """Stripe's answers go into the states of a folded chunk."""

    def __init__(self, stripe: StripeApi) -> None:
        self._stripe = stripe

    async def ask(self, folded: projector.Folded) -> None:
        """Fetches, once, each customer whom no event has told of, and whatever the events do not tell in full: its
        newest state among several of one second, or all of its items."""
        await asyncio.gather(
            *(self._ask_customer(folded, key) for key in (*folded.ambiguous, *folded.strangers)),
            *(self._ask_subscription(folded, key, id_) for key, id_ in folded.half_told),
        )
        # What follows from a departure cannot be taken back, so it is not left to the order of events.
        await asyncio.gather(*(self._ask_departure(folded, key) for key in folded.leaving))

    async def _ask_customer(self, folded: projector.Folded, key: bytes) -> None:
        customer = await self._customer(key.decode())
        state = folded.states[key]
        held = state.mapping.customer
        if held is not None:
            metrics.ORDER_AMBIGUOUS.labels("no" if customer is None else "yes").inc()
        if customer is not None:
            created = held.created if held else max(event.ref.created for event in folded.touched[key])
            told = customer_mapping.told(state.mapping, created, Telling("fetched", Rank.FETCHED, customer))
            folded.states[key] = msgspec.structs.replace(state, mapping=told)

    async def _ask_subscription(self, folded: projector.Folded, key: bytes, id_: str) -> None:
        try:
            fetched = await patiently(partial(self._stripe.subscription, id_, account_of(key.decode())))
        except NoAnswer:  # then what the events tell has to do
            metrics.ORDER_AMBIGUOUS.labels("no").inc()
            return
        metrics.ORDER_AMBIGUOUS.labels("yes").inc()
        state = folded.states[key]
        created = state.subscriptions.by_id[id_].created
        told = subscriptions.told(state.subscriptions, created, Telling("fetched", Rank.FETCHED, fetched))
        folded.states[key] = msgspec.structs.replace(state, subscriptions=told)

    async def _ask_departure(self, folded: projector.Folded, key: bytes) -> None:
        account, _, id_ = key.decode().rpartition("/")
        try:
            told = await patiently(partial(self._stripe.subscriptions, id_, account or None))
        except NoAnswer:  # then what the events tell has to do
            return
        state = folded.states[key]
        newest = max(event.ref.created for event in folded.touched[key])
        held = state.subscriptions
        for it in told:
            created = held.by_id[it.id].created if it.id in held.by_id else newest
            held = subscriptions.told(held, created, Telling("fetched", Rank.FETCHED, it))
        folded.states[key] = msgspec.structs.replace(state, subscriptions=held)

    async def _customer(self, key: str) -> Customer | None:
        """A customer as it now is. None when Stripe does not tell, or only that it is deleted: then its events
        have to do."""
        account, _, id_ = key.rpartition("/")
        try:
            customer = await patiently(partial(self._stripe.customer, id_, account or None))
        except NoAnswer:
            return None
        return None if customer.deleted else customer
