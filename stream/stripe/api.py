"""Stripe's API, as far as a webhook does not tell: one object fetched as it now is."""

from __future__ import annotations

import asyncio
import logging

import msgspec
import stripe

from stream.settings import Stripe
from stream.stripe import shapes
from stream.stripe.shapes import Customer

log = logging.getLogger(__name__)

# Stripe allows 100 reads a second in live mode and 25 in a sandbox (docs.stripe.com/rate-limits).
CONCURRENT_FETCHES = 8
TIMEOUT_SECONDS = 10


class StripeApi:
    """Fetches objects with Stripe's own SDK. Without an API key it fetches nothing."""

    def __init__(self, settings: Stripe) -> None:
        self._slots = asyncio.Semaphore(CONCURRENT_FETCHES)
        self._client: stripe.StripeClient | None = None
        if settings.api_key:
            self._client = stripe.StripeClient(
                settings.api_key.get_secret_value(),
                base_addresses={"api": settings.api_base},
                http_client=stripe.AIOHTTPClient(timeout=TIMEOUT_SECONDS),
                max_network_retries=2,
            )

    async def customer(self, key: str) -> Customer | None:
        """The customer behind a routing key, as it now is.

        None when there is no API key or Stripe does not answer: what the events tell has to do, until another
        event asks again.
        """
        if self._client is None:
            return None
        account, _, id_ = key.rpartition("/")
        options: stripe.RequestOptions = {"stripe_account": account} if account else {}
        try:
            async with self._slots:
                fetched = await self._client.v1.customers.retrieve_async(id_, options=options)
        except stripe.StripeError as error:
            log.warning("Stripe gives no answer for %s: %s", key, type(error).__name__)
            return None
        return shapes.customer(msgspec.json.encode(fetched.to_dict(for_json=True)))
