"""Stripe's API, as far as a webhook does not tell: one object fetched as it now is, and events that never came.

Shapes are read from the answer's own bytes: the SDK would write a small decimal back as `1E-12`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import stripe

from stream.settings import Stripe
from stream.stripe import shapes
from stream.stripe.catalogue import Entry
from stream.stripe.shapes import Charge, Customer, Discount, Item, Subscription

log = logging.getLogger(__name__)

# Stripe allows 100 reads a second in live mode and 25 in a sandbox (docs.stripe.com/rate-limits).
CONCURRENT_FETCHES = 8
TIMEOUT_SECONDS = 10
PAGE = 100
# Where an invoice bears discounts: as a whole, and by line those of items.
_BILLED = ("data.discounts", "data.lines.data.discounts")


class NoAnswer(Exception):
    """Stripe did not answer what was asked. The message says of what, and what to do."""


class NoKey(NoAnswer):
    """There is no API key."""


class Refused(NoAnswer):
    """The key is wrong, or may not read this; or the request is one that Stripe does not take."""


class Away(NoAnswer):
    """Stripe is not there, or asks to come again later: to be tried again."""


class NotFound(NoAnswer):
    """Stripe has no such object; it may have been deleted."""


class StripeApi:
    """Fetches objects with Stripe's own SDK. Without an API key it fetches nothing."""

    def __init__(self, settings: Stripe) -> None:
        self._slots = asyncio.Semaphore(CONCURRENT_FETCHES)
        self._client: stripe.StripeClient | None = None
        self._http: stripe.AIOHTTPClient | None = None
        if settings.api_key:
            self._http = stripe.AIOHTTPClient(timeout=TIMEOUT_SECONDS)
            self._client = stripe.StripeClient(
                settings.api_key.get_secret_value(),
                base_addresses={"api": settings.api_base},
                http_client=self._http,
                max_network_retries=2,
            )

    async def close(self) -> None:
        """Closes the connections."""
        if self._http is not None:
            await self._http.close_async()  # type: ignore[no-untyped-call]

    async def customer(self, id_: str, account: str | None = None) -> Customer:
        """A customer as it now is; of a deleted one Stripe tells nothing but that.

        Raises NoAnswer, as do all below: NoKey, Refused, Away or NotFound.
        """
        async with self._asking(f"customer {id_}", account) as (client, options):
            return shapes.customer(await _body(client.v1.customers.retrieve_async(id_, options=options)))

    async def charge(self, id_: str, account: str | None = None) -> Charge:
        """A charge as it now is."""
        async with self._asking(f"charge {id_}", account) as (client, options):
            return shapes.charge(await _body(client.v1.charges.retrieve_async(id_, options=options)))

    async def price(self, id_: str, account: str | None = None) -> Entry:
        """A price with its tiers, its other currencies and its product."""
        expand = ["tiers", "product", "currency_options"]
        async with self._asking(f"price {id_}", account) as (client, options):
            body = await _body(client.v1.prices.retrieve_async(id_, {"expand": expand}, options))
            price = shapes.price(body)
            tiered = [c for c, option in price.options.items() if not option.tiers]
            if price.billing_scheme == "tiered" and tiered:
                expand += [f"currency_options.{currency}.tiers" for currency in tiered]
                with suppress(stripe.InvalidRequestError):  # then its first currency has to do
                    body = await _body(client.v1.prices.retrieve_async(id_, {"expand": expand}, options))
        return Entry(_now(), price=shapes.price(body), product=shapes.product_of(body))

    async def coupon(self, id_: str, account: str | None = None) -> Entry:
        """A coupon with its other currencies and the products that it is limited to."""
        expand = ["applies_to", "currency_options"]
        async with self._asking(f"coupon {id_}", account) as (client, options):
            body = await _body(client.v1.coupons.retrieve_async(id_, {"expand": expand}, options))
        coupon = shapes.coupon(body)
        # They were asked for: where none are told, it is for all.
        return Entry(_now(), coupon=msgspec.structs.replace(coupon, applies_to=coupon.applies_to or ()))

    async def subscription(self, id_: str, account: str | None = None) -> Subscription:
        """A subscription as it now is, with all its items and its discounts in full."""
        # A coupon that was deleted since can be had from the discount alone.
        expand = ["discounts.source.coupon.applies_to", "items.data.discounts"]
        async with self._asking(f"subscription {id_}", account) as (client, options):
            body = await _body(client.v1.subscriptions.retrieve_async(id_, {"expand": expand}, options))
            whole = shapes.subscription(body)
            if not whole.more_items:
                return whole
            items: list[Item] = []
            more = True
            while more:
                page: Any = {"subscription": id_, "limit": PAGE, "expand": ["data.discounts"]}
                if items:
                    page["starting_after"] = items[-1].id
                body = await _body(client.v1.subscription_items.list_async(page, options))
                items += shapes.items(body)
                more = _more(body).has_more and bool(shapes.items(body))
        return msgspec.structs.replace(whole, items=tuple(items), more_items=False)

    async def subscriptions(self, customer: str, account: str | None = None) -> tuple[Subscription, ...]:
        """All subscriptions of a customer as they now are, ended ones too. Of one with many items the first."""
        found: list[Subscription] = []
        more = True
        async with self._asking(f"the subscriptions of {customer}", account) as (client, options):
            while more:
                page: Any = {"customer": customer, "status": "all", "limit": PAGE}
                if found:
                    page["starting_after"] = found[-1].id
                body = await _body(client.v1.subscriptions.list_async(page, options))
                listed = shapes.subscriptions(body)
                found += listed
                more = _more(body).has_more and bool(listed)
        return tuple(found)

    async def discounts(
        self, subscription: str, wanted: Collection[str], account: str | None = None
    ) -> dict[str, Discount]:
        """Discounts of a subscription and of its items by ID, with their coupons' IDs and ends.

        Stripe has no way to ask for one discount, and a subscription lists only those in force. What one took off
        that is over its invoices tell (`discounts`, docs.stripe.com/api/invoices/object); one that is not in the
        answer was never billed with.
        """
        told = await self.subscription(subscription, account)
        found = {one.id: one for item in told.items for one in item.discounts}
        found |= {one.id: _complete(one) for one in told.discounts}
        missing = set(wanted) - found.keys()
        if not missing:
            return found
        page: Any = {"subscription": subscription, "limit": PAGE, "expand": list(_BILLED)}
        more = True
        async with self._asking(f"the invoices of {subscription}", account) as (client, options):
            while more:
                body = await _body(client.v1.invoices.list_async(page, options))
                last, billed = shapes.billed_discounts(body)
                found |= {one.id: one for one in billed if one.id in missing and one.coupon}
                more = last is not None and _more(body).has_more and not missing <= found.keys()
                page["starting_after"] = last
        return found

    async def events(self, query: Mapping[str, Any], account: str | None = None) -> tuple[list[bytes], bool]:
        """A page of the events of the last 30 days, newest first, each as Stripe writes it, and whether there are
        more in the direction of reading. `query` holds filters and cursor (docs.stripe.com/api/events/list)."""
        page: Any = {**query, "limit": PAGE}
        async with self._asking("the list of events", account) as (client, options):
            listed = _events(await _body(client.v1.events.list_async(page, options)))
        return [bytes(event) for event in listed.data], listed.has_more

    async def event(self, id_: str, account: str | None = None) -> bytes:
        """One event of the last 30 days, as Stripe writes it."""
        async with self._asking(f"event {id_}", account) as (client, options):
            return await _body(client.v1.events.retrieve_async(id_, options=options))

    @asynccontextmanager
    async def _asking(
        self, what: str, account: str | None
    ) -> AsyncIterator[tuple[stripe.StripeClient, stripe.RequestOptions]]:
        """The client and the account's options, in one of the slots. Raises NoAnswer."""
        if self._client is None:
            raise NoKey(
                f"To fetch {what}, Stripe's API key is needed. Set STRIPE_API_KEY (read access is enough)."
            )
        options: stripe.RequestOptions = {"stripe_account": account} if account else {}
        try:
            async with self._slots:
                yield self._client, options
        except stripe.StripeError as error:
            raise _no_answer(what, error) from None


class _Page(msgspec.Struct):
    has_more: bool = False


class _Events(_Page):
    data: list[msgspec.Raw] = []


_more = msgspec.json.Decoder(_Page).decode
_events = msgspec.json.Decoder(_Events).decode


async def _body(asked: Awaitable[Any]) -> bytes:
    answer = await asked
    return str(answer.last_response.body).encode()


def _complete(discount: Discount) -> Discount:
    """With its coupon's products, which were asked for: where none are told, it is for all."""
    coupon = discount.embedded
    if coupon is None or coupon.applies_to is not None:
        return discount
    return msgspec.structs.replace(discount, embedded=msgspec.structs.replace(coupon, applies_to=()))


def _no_answer(what: str, error: stripe.StripeError) -> NoAnswer:
    status = error.http_status
    told = f"{type(error).__name__}{f', HTTP {status}' if status else ''}"
    if status == 404:
        return NotFound(f"Stripe has no {what} ({told}). It may have been deleted.")
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        return Refused(f"Stripe refuses to show {what} ({told}). Check STRIPE_API_KEY and what it may read.")
    if isinstance(error, stripe.InvalidRequestError):
        return Refused(f"Stripe does not take the request for {what} ({told}).")
    return Away(f"Stripe does not answer for {what} ({told}). It is to be asked again.")


def _now() -> int:
    return int(time.time())
