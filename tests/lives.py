"""Simulated billing lives through the projector's core, with nothing between: events in, records out."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from agents.events import Kept, State
from agents.projector import Emitted, Folded, emit, fold_chunk, settle
from stream.records import Notice, Write
from stream.sandbox.expected import money
from stream.sandbox.stripe import render
from stream.sandbox.stripe.book import StripeEvent
from stream.sandbox.stripe.objects import Customer, Discount, Price, Subscription, Thing, key_of
from stream.sandbox.stripe.world import World
from stream.settings import Settings
from stream.stripe import envelope, routing, shapes
from stream.stripe.catalogue import Entries, Entry, Lookup
from tables import subscriptions
from tables.versions import Rank, Telling

SETTINGS = Settings()
API_VERSION = "2026-10-28.endive"


def records(events: Iterable[StripeEvent]) -> list[Kept]:
    """The events as the gateway puts them on the topic, all in one partition."""
    return [_record(event, offset) for offset, event in enumerate(events)]


def rerouted(world: World) -> list[Kept]:
    """The events as they lie once the strays among them have found their customers; guests' are left out."""
    told = []
    for event, record in zip(world.events, records(world.events), strict=True):
        owner = money.customer_of(event.thing, world)
        if owner is not None:
            told.append(msgspec.structs.replace(record, key=owner.encode()))
        elif isinstance(event.thing, Customer):
            told.append(record)
    return told


def _record(event: StripeEvent, offset: int) -> Kept:
    body = msgspec.json.encode(render.event(event))
    headers = {
        "id": event.id,
        "type": event.type,
        "created": str(event.created),
        "received_at": str(1000 * event.created),
    }
    key = routing.key(envelope.read(body))
    told = tuple((name, value.encode()) for name, value in headers.items())
    return Kept("stripe.events", 0, offset, key.encode(), body, told)


class Shelf:
    """Everything of the world's catalogue, as if it had been fetched."""

    def __init__(self, world: World, account: str | None) -> None:
        prefix = f"{account}/" if account else ""
        self._things = world.things
        self._prefix = prefix
        self._held: dict[str, Entries] = {}

    def _entries(self, id_: str) -> Entries:
        if id_ not in self._held:
            thing = self._things.get(self._prefix + id_)
            self._held[id_] = Entries({} if thing is None else {id_: entry(thing, self._things)})
        return self._held[id_]

    def price(self, id_: str) -> shapes.Price | None:
        return self._entries(id_).price(id_)

    def product(self, price: str) -> shapes.Product | None:
        return self._entries(price).product(price)

    def coupon(self, id_: str) -> shapes.Coupon | None:
        return self._entries(id_).coupon(id_)

    def discount(self, id_: str) -> shapes.Discount | None:
        return self._entries(id_).discount(id_)


def entry(thing: Thing, things: Any) -> Entry:
    """A price, coupon or discount as the catalogue keeps it."""
    if isinstance(thing, Price):
        body = _body(thing, ("tiers", "product", "currency_options"), things)
        return Entry(0, price=shapes.price(body), product=shapes.product_of(body))
    if isinstance(thing, Discount):
        return Entry(0, discount=shapes.discount(_body(thing, (), things)))
    coupon = shapes.coupon(_body(thing, ("applies_to", "currency_options"), things))
    return Entry(0, coupon=msgspec.structs.replace(coupon, applies_to=coupon.applies_to or ()))


def _body(thing: Thing, expand: Sequence[str], things: Any) -> bytes:
    return msgspec.json.encode(render.thing(thing, API_VERSION, expand, things))


class Salesforce:
    """What Salesforce holds after all writes: by key the last, unless it tells of an older state."""

    def __init__(self) -> None:
        self.writes: dict[str, Write] = {}
        self.notices: dict[str, Notice] = {}

    def take(self, emitted: Emitted) -> None:
        for write in emitted.writes:
            held = self.writes.get(write.key)
            if held is None or held.version <= write.version:
                self.writes[write.key] = write
        for notice in emitted.notices:
            self.notices.setdefault(notice.id, notice)

    @property
    def fields(self) -> dict[str, dict[str, Any]]:
        """The fields of every record, by key."""
        return {key: dict(write.fields) for key, write in self.writes.items()}


class Projector:
    """The core with its tables, which are stored as the changelog stores them."""

    def __init__(self, world: World, settings: Settings = SETTINGS) -> None:
        self._world = world
        self._shelves: dict[str | None, Shelf] = {}
        self._settings = settings
        self._rows: dict[bytes, bytes] = {}
        self.salesforce = Salesforce()
        self.chunks: list[Folded] = []

    def load(self, key: bytes) -> State:
        row = self._rows.get(key)
        return _decode(row) if row else State()

    def work(self, chunk: Sequence[Kept]) -> None:
        folded = fold_chunk(chunk, self.load)
        for key in folded.leaving:
            self._ask(folded, key)
        settle(folded, "stripe.events", 0)
        emitted = Emitted()
        wanted = emit(folded, folded.touched, self._shelf, self._settings, emitted)
        assert wanted == {}
        self.salesforce.take(emitted)
        self._rows |= {key: _encode(state) for key, state in folded.states.items()}
        self.chunks.append(folded)

    def _ask(self, folded: Folded, key: bytes) -> None:
        """What Stripe's list of the customer's subscriptions tells, as `agents.steps` folds it."""
        state = folded.states[key]
        held, newest = state.subscriptions, max(event.ref.created for event in folded.touched[key])
        for thing in self._world.things.values():
            if isinstance(thing, Subscription) and key_of(thing.account, thing.customer) == key.decode():
                it = shapes.subscription(_body(thing, (), self._world.things))
                created = held.by_id[it.id].created if it.id in held.by_id else newest
                held = subscriptions.told(held, created, Telling("fetched", Rank.FETCHED, it))
        folded.states[key] = msgspec.structs.replace(state, subscriptions=held)

    def _shelf(self, key: str) -> Lookup:
        account = key.rpartition("/")[0] or None
        if account not in self._shelves:
            self._shelves[account] = Shelf(self._world, account)
        return self._shelves[account]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(State).decode


def played(
    world: World, order: Sequence[Kept], settings: Settings = SETTINGS, rng: random.Random | None = None
) -> Projector:
    """The projector after a run, in chunks of any size."""
    projector = Projector(world, settings)
    at = 0
    while at < len(order):
        size = rng.randint(1, 20) if rng else 1
        projector.work(order[at : at + size])
        at += size
    return projector
