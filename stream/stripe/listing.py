"""Stripe's list of events, read from its newer or its older end, page by page.

One page is asked for after the other, so that a backfill stays far below the 25 reads a second that Stripe allows
in a sandbox (100 in live mode).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Literal

import msgspec

from stream.backfill import Wanted
from stream.stripe import envelope
from stream.stripe.api import StripeApi
from stream.stripe.envelope import Envelope
from stream.stripe.patience import patiently

# Some two minutes without an answer.
TRIES = 10
WAITING = "the list waits"


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Listed(msgspec.Struct, frozen=True):
    """An event that Stripe lists, with the body that its webhook would have had."""

    event: Envelope
    body: bytes


async def newest_first(stripe: StripeApi, wanted: Wanted, account: str | None) -> AsyncIterator[Listed]:
    """All that is wanted, as Stripe lists it. Raises NoAnswer, as does the other."""
    async for page in _pages(stripe, wanted.query, "starting_after", account):
        for one in page:
            if wanted.takes(one.event):
                yield one


async def oldest_first(
    stripe: StripeApi, wanted: Wanted, account: str | None, first: str
) -> AsyncIterator[Listed]:
    """What is wanted from the event `first` on, in order of time: as is told in
    docs.stripe.com/webhooks/process-undelivered-events."""
    ask = partial(stripe.event, first, account)
    yield read(await patiently(ask, waiting=WAITING, tries=TRIES), account)
    async for page in _pages(stripe, {**wanted.query, "ending_before": first}, "ending_before", account):
        for one in reversed(page):
            if wanted.takes(one.event):
                yield one


async def _pages(
    stripe: StripeApi,
    query: dict[str, Any],
    cursor: Literal["starting_after", "ending_before"],
    account: str | None,
) -> AsyncIterator[list[Listed]]:
    """Pages in the cursor's direction, each of them newest first."""
    more = True
    while more:
        ask = partial(stripe.events, query, account)
        bodies, more = await patiently(ask, waiting=WAITING, tries=TRIES)
        if not bodies:
            return
        page = [read(body, account) for body in bodies]
        yield page
        last = page[-1] if cursor == "starting_after" else page[0]
        query = {**query, cursor: last.event.id}


def read(body: bytes, account: str | None = None) -> Listed:
    """An event of a list, written as webhooks are. Raises EnvelopeError.

    Webhooks name the connected account that an event is of (docs.stripe.com/api/events/object); whoever asks in an
    account's own name is told of its own events, which need not.
    """
    event = envelope.read(body)
    if account is not None and event.account is None:
        body = msgspec.json.encode({**_fields(body), "account": account})
        event = envelope.read(body)
    return Listed(event, msgspec.json.format(body, indent=2))
