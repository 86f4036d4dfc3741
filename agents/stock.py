"""What the projector knows of Stripe's catalogue: what it has fetched, and what there is no way to fetch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

import msgspec

from agents.pricing import Unknown, Unpriceable
from agents.touched import Wanted
from stream.stripe import catalogue
from stream.stripe.api import Away, NoAnswer, StripeApi
from stream.stripe.catalogue import Entries, Entry
from stream.stripe.shapes import Coupon, Discount, Price, Product

# Discounts that events told of: what is asked of one comes soon after.
MOST_TOLD = 10_000


class Stock:
    """The entries of all accounts, in memory. `fetch` gets what is missing; what it got is to be kept by the
    caller, who puts it into the topic that others and the next start read."""

    def __init__(self, stripe: StripeApi) -> None:
        self._stripe = stripe
        self._entries: dict[str, Entry] = {}
        # Why something could not be had. It is tried again after a start.
        self._refused: dict[str, str] = {}
        self._flights: dict[str, asyncio.Future[Entry]] = {}
        self._told: dict[str, Discount] = {}

    def put(self, key: str, entry: Entry) -> None:
        """Takes on what the topic holds, unless something newer is held."""
        known = self._entries.get(key)
        if known is None or known.fetched_at <= entry.fetched_at:
            self._entries[key] = entry
            self._refused.pop(key, None)

    def lookup(self, key: str) -> Shelf:
        """The catalogue of the account that a routing key belongs to."""
        return Shelf(self._entries, self._refused, account_of(key))

    def tell(self, discounts: Mapping[str, Discount]) -> dict[str, Entry]:
        """Takes on, by key, what events tell of discounts: it has to do where Stripe tells of them no more. The
        answer has those that were taken for nothing until now."""
        better = {}
        for key, discount in discounts.items():
            self._told.pop(key, None)
            self._told[key] = discount
            known = self._entries.get(key)
            if known is not None and known.discount is None:
                better[key] = self._entries[key] = Entry(known.fetched_at, discount=discount)
        while len(self._told) > MOST_TOLD:
            del self._told[next(iter(self._told))]
        return better

    async def fetch(self, unknown: Unknown, account: str | None) -> dict[str, Entry]:
        """Gets what is missing, by key; what someone else is just getting comes with them. Raises Away when
        Stripe is to be asked again."""
        found = await asyncio.gather(
            *(self._one(id_, account, self._stripe.price) for id_ in unknown.prices),
            *(self._one(id_, account, self._stripe.coupon) for id_ in unknown.coupons),
            self._discounts(unknown, account),
        )
        return {key: entry for entries in found for key, entry in entries.items()}

    async def refresh(self, ids: Iterable[str], account: str | None) -> dict[str, Entry]:
        """Gets again prices and coupons that are held, and all held prices of products; what is not held is left
        alone. The answer has those that differ from what was held, and says so in them."""
        held = dict(self._entries)
        prices: set[str] = set()
        coupons: set[str] = set()
        for id_ in ids:
            entry = held.get(catalogue.key(id_, account))
            if entry and entry.price:
                prices.add(id_)
            elif entry and entry.coupon:
                coupons.add(id_)
            prices |= {
                entry.price.id
                for key, entry in held.items()
                if entry.price and entry.price.product == id_ and account_of(key) == account
            }
        fresh = await self.fetch(Unknown(tuple(sorted(prices)), tuple(sorted(coupons))), account)
        return {
            key: msgspec.structs.replace(entry, renewed=True)
            for key, entry in fresh.items()
            if not _same(held[key], entry)
        }

    async def _one(
        self, id_: str, account: str | None, ask: Callable[[str, str | None], Awaitable[Entry]]
    ) -> dict[str, Entry]:
        key = catalogue.key(id_, account)
        if flight := self._flights.get(key):
            await asyncio.wait([flight])
            return {}
        flight = self._flights[key] = asyncio.ensure_future(ask(id_, account))
        try:
            entry = await flight
        except Away:
            raise
        except NoAnswer as error:
            self._refused[key] = str(error)
            return {}
        finally:
            del self._flights[key]
        self.put(key, entry)
        return {key: entry}

    async def _discounts(self, unknown: Unknown, account: str | None) -> dict[str, Entry]:
        """What none of the subscriptions has, was never billed with, and no event told of, is taken for nothing."""
        ids = unknown.discounts
        try:
            asked = [self._stripe.discounts(of, ids, account) for of in unknown.subscriptions]
            told = {id_: one for found in await asyncio.gather(*asked) for id_, one in found.items()}
        except Away:
            raise
        except NoAnswer as error:
            self._refused |= {catalogue.key(id_, account): str(error) for id_ in ids}
            return {}
        keys = {catalogue.key(id_, account): id_ for id_ in ids}
        found = {key: Entry(0, discount=told.get(id_) or self._told.get(key)) for key, id_ in keys.items()}
        for key, entry in found.items():
            self.put(key, entry)
        return found


class Shelf:
    """A `Lookup` that raises Unpriceable, with the reason, for what cannot be fetched."""

    def __init__(self, entries: Mapping[str, Entry], refused: Mapping[str, str], account: str | None) -> None:
        self._known = entries
        self._entries = Entries(entries, account)
        self._refused = refused
        self._account = account

    def price(self, id_: str) -> Price | None:
        """See `Lookup`."""
        return self._entries.price(self._had(id_))

    def coupon(self, id_: str) -> Coupon | None:
        """See `Lookup`."""
        return self._entries.coupon(self._had(id_))

    def discount(self, id_: str) -> Discount | None:
        """See `Lookup`."""
        return self._entries.discount(self._had(id_))

    def product(self, price: str) -> Product | None:
        """The product of a price; None when Stripe does not tell. Raises Wanted when it has not been asked."""
        key = catalogue.key(price, self._account)
        if key not in self._known and key not in self._refused:
            raise Wanted(Unknown(prices=(price,)))
        return self._entries.product(price)

    def _had(self, id_: str) -> str:
        key = catalogue.key(id_, self._account)
        # What has been deleted since costs what it did.
        if key not in self._known and (why := self._refused.get(key)):
            raise Unpriceable(why)
        return id_


def account_of(key: str) -> str | None:
    """The connected account of a routing key or a catalogue key; None for one's own."""
    return key.rpartition("/")[0] or None


def _same(one: Entry, other: Entry) -> bool:
    told = (one.price, one.product, one.coupon, one.discount)
    return told == (other.price, other.product, other.coupon, other.discount)
