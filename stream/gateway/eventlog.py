"""Where the gateway keeps events: a port, so that everything but Kafka itself can be tried without it."""

from __future__ import annotations

import asyncio
from typing import Literal, Protocol

from stream.gateway.answers import Refusal
from stream.stripe.routing import Headers


class NotKept(Refusal):
    """An event was not, or perhaps not, kept. The message says why; the sender has to send it again."""

    def __init__(
        self, reason: Literal["kafka_timeout", "kafka_unavailable", "overloaded"], message: str
    ) -> None:
        super().__init__(reason, f"{message} The event is not kept: send it again, as Stripe does by itself.")


class EventLog(Protocol):
    """A durable log of events, in order per key.

    `append` takes an event at once and gives a future that is done when the event is on disk; it fails with
    NotKept when that is not known in time. `append` itself raises NotKept when it makes no sense to try.
    Events of one key are kept in the order of their `append`. `timestamp` is epoch milliseconds.

    `trouble` is a sentence that says why nothing can be kept just now, or None.
    """

    def append(self, key: bytes, value: bytes, headers: Headers, timestamp: int) -> asyncio.Future[None]: ...

    def trouble(self) -> str | None: ...
