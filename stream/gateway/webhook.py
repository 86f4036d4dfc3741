"""`POST /webhooks/stripe`: believed, read, kept, and only then answered with 200."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from httptools import HttpParserInvalidURLError, parse_url

from stream import metrics
from stream.gateway.answers import Refusal
from stream.gateway.eventlog import EventLog
from stream.gateway.families import FAMILIES, family
from stream.stripe import envelope, routing, signature
from stream.stripe.envelope import Envelope, EnvelopeError
from stream.stripe.signature import Keys, SignatureError

PATH = "/webhooks/stripe"

_PATH = PATH.encode()
_SIGNATURE = signature.HEADER.lower().encode()


def _count(name: str) -> Callable[[asyncio.Future[None]], None]:
    """Counts an event of a family once it is kept."""
    received = metrics.WEBHOOKS_RECEIVED.labels(name)
    return lambda kept: None if kept.exception() else received.inc()


_counts = {name: _count(name) for name in FAMILIES}


class Webhooks:
    """The handler of the public port."""

    def __init__(self, keys: Keys, log: EventLog, *, now: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._log = log
        self._now = now

    def admit(self, method: bytes, target: bytes) -> None:
        """Looks at a request before its body is here. Raises Refusal."""
        if target != _PATH and _path(target) != _PATH:
            raise Refusal("not_found", f"There is nothing here. Stripe's webhooks go to {PATH}.")
        if method != b"POST":
            raise Refusal("method_not_allowed", f"{PATH} takes POST, from Stripe. It shows nothing.")

    def keep(self, headers: Mapping[bytes, bytes], body: bytes) -> asyncio.Future[None]:
        """What is done when the event is on disk, or fails with NotKept. Names of headers are in lower case.

        Raises Refusal.
        """
        now = self._now()
        try:
            event = self._believe(headers.get(_SIGNATURE), body, now)
        except (SignatureError, EnvelopeError) as error:
            raise Refusal(error.reason, str(error)) from None
        received_at = int(now * 1000)
        kept = self._log.append(
            routing.key(event).encode(), body, routing.headers(event, received_at), received_at
        )
        kept.add_done_callback(_counts[family(event.type)])
        return kept

    def _believe(self, header: bytes | None, body: bytes, now: float) -> Envelope:
        try:
            self._keys.verify(header, body, now)
        except SignatureError:
            # A cloud's event bus sends no signature; whoever set it up is told so rather than of signatures.
            if not header and (error := envelope.foreign(body)):
                raise error from None
            raise
        return envelope.read(body)


def _path(target: bytes) -> bytes | None:
    """The path of a request's target, which may have a query, or be a whole address as proxies get it."""
    try:
        path: bytes | None = parse_url(target).path
    except HttpParserInvalidURLError:
        return None
    return path
