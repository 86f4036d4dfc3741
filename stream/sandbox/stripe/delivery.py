"""Webhooks sent as Stripe sends them: signed, in no promised order, some twice, again until they are taken."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Sequence

import aiohttp
import msgspec

from stream.sandbox.stripe import render
from stream.sandbox.stripe.book import StripeEvent
from stream.stripe.signature import HEADER, sign

_USER_AGENT = "Stripe/1.0 (+https://stripe.com/docs/webhooks)"

# Where nothing is shuffled, a duplicate follows at most so many places behind its first: a retry whose first
# answer was lost comes soon.
_DUPLICATE_REACH = 50


class Manner(msgspec.Struct, frozen=True):
    """How events are sent.

    `duplicates` is the share (0 to 1) of events that are sent twice. `shuffle` mixes their order: wholly, or
    with a `window` so that none is sent before one that lies more than that many places ahead of it in true
    order. `seed` repeats both. `concurrency` is how many requests are open at a time (only with 1 do they also
    arrive in order); `timeout` (seconds) ends one. A refused event is sent again after `backoff` seconds, then
    after twice that, up to `longest_backoff`, until `patience` seconds after the start.
    """

    duplicates: float = 0.0
    shuffle: bool = False
    window: int | None = None
    seed: int = 0
    concurrency: int = 32
    timeout: float = 20.0
    backoff: float = 0.1
    longest_backoff: float = 5.0
    patience: float = 120.0
    per_second: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.duplicates <= 1:
            raise ValueError(f"the share of duplicates is {self.duplicates}, not between 0 and 1")
        if self.concurrency < 1 or (self.window is not None and self.window < 1):
            raise ValueError("concurrency and window are at least 1")
        if self.per_second is not None and not self.per_second > 0:
            raise ValueError("as many deliveries begin in a second as are more than 0")


class Delivery(msgspec.Struct):
    """What came of it. `sent` counts requests, `accepted` those with a 2xx answer, `retried` those that were not
    the first of their delivery; a duplicate is a delivery of its own. `answers` counts status codes, and
    `unreachable` is how often there was none. `undelivered` are IDs never accepted by the deadline."""

    deliveries: int = 0
    sent: int = 0
    accepted: int = 0
    retried: int = 0
    unreachable: int = 0
    answers: dict[int, int] = {}
    accepted_ids: set[str] = set()
    undelivered: set[str] = set()


Progress = Callable[[int, int], None]


def order(events: Iterable[StripeEvent], manner: Manner) -> list[StripeEvent]:
    """The events in the order in which they are sent, duplicates among them."""
    rng = random.Random(manner.seed)
    in_order = list(events)
    reach = manner.window or (len(in_order) if manner.shuffle else _DUPLICATE_REACH)
    places: list[tuple[float, StripeEvent]] = []
    for place, event in enumerate(in_order):
        for copy in range(2 if rng.random() < manner.duplicates else 1):
            later = rng.random() * reach
            if manner.shuffle and manner.window is None:
                at = later
            else:
                at = place + later if manner.shuffle or copy else place
            places.append((at, event))
    places.sort(key=lambda one: one[0])
    return [event for _, event in places]


async def deliver(
    events: Sequence[StripeEvent],
    url: str,
    secret: str,
    manner: Manner | None = None,
    *,
    progress: Progress | None = None,
) -> Delivery:
    """Posts all events to a webhook address, and again until they are taken or patience ends.

    `progress` is told after each delivery how many are done (taken or given up), and of how many. A refused one
    holds one of the open places while it waits. Raises ValueError for a blank secret, aiohttp.InvalidURL (in
    an exception group) for an address that is none.
    """
    if not secret.strip():
        raise ValueError("the signing secret is blank")
    manner = manner or Manner()
    ordered = order(events, manner)
    queue = iter(ordered)
    post = _Post(url, secret, manner, progress, len(ordered))
    timeout = aiohttp.ClientTimeout(total=manner.timeout)
    connector = aiohttp.TCPConnector(limit=manner.concurrency)
    async with (
        aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
        asyncio.TaskGroup() as workers,
    ):
        for _ in range(min(manner.concurrency, len(ordered))):
            workers.create_task(post.work(session, queue))
    post.delivery.undelivered -= post.delivery.accepted_ids
    return post.delivery


class _Post:
    """The workers' common state."""

    def __init__(self, url: str, secret: str, manner: Manner, progress: Progress | None, total: int) -> None:
        self._url = url
        self._secret = secret
        self._manner = manner
        self._progress = progress
        self._total = total
        self._done = 0
        self._begun = 0
        self._start = time.monotonic()
        self._deadline = self._start + manner.patience
        self.delivery = Delivery(deliveries=total)

    async def work(self, session: aiohttp.ClientSession, queue: Iterable[StripeEvent]) -> None:
        for event in queue:
            await self._turn()
            body = render.body(event)
            taken = await self._until_taken(session, body)
            (self.delivery.accepted_ids if taken else self.delivery.undelivered).add(event.id)
            self._done += 1
            if self._progress:
                self._progress(self._done, self._total)

    async def _turn(self) -> None:
        """Waits for the time of the next delivery. What was late is caught up with."""
        if self._manner.per_second is not None:
            at = self._start + self._begun / self._manner.per_second
            self._begun += 1
            await asyncio.sleep(at - time.monotonic())

    async def _until_taken(self, session: aiohttp.ClientSession, body: bytes) -> bool:
        wait = self._manner.backoff
        while not await self._attempt(session, body):
            left = self._deadline - time.monotonic()
            if left <= 0:
                return False
            await asyncio.sleep(min(wait, left))
            wait = min(wait * 2, self._manner.longest_backoff)
            self.delivery.retried += 1
        return True

    async def _attempt(self, session: aiohttp.ClientSession, body: bytes) -> bool:
        """One request, signed anew: Stripe gives every attempt its own time."""
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": _USER_AGENT,
            HEADER: sign(body, self._secret, int(time.time())),
        }
        self.delivery.sent += 1
        try:
            async with session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                await answer.read()
        except aiohttp.InvalidURL:
            raise  # no later attempt will find it
        except (aiohttp.ClientError, TimeoutError):
            self.delivery.unreachable += 1
            return False
        self.delivery.answers[answer.status] = self.delivery.answers.get(answer.status, 0) + 1
        taken = 200 <= answer.status < 300
        self.delivery.accepted += taken
        return taken
