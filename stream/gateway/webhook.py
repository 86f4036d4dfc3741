"""`POST /webhooks/stripe`: believed, read, kept, and only then answered with 200."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

from aiohttp import HttpVersion11, hdrs
from aiohttp.web import BaseRequest, RequestPayloadError
from aiohttp.web_response import StreamResponse

from stream import metrics
from stream.gateway import answers
from stream.gateway.answers import Refusal
from stream.gateway.connections import Connection, ReadDeadline
from stream.gateway.eventlog import EventLog, NotKept
from stream.gateway.families import FAMILIES, family
from stream.stripe import envelope, routing, signature
from stream.stripe.envelope import Envelope, EnvelopeError
from stream.stripe.signature import Keys, SignatureError

PATH = "/webhooks/stripe"

# Of all bodies that have come in part: without a bound, slow senders of nearly 1 MiB could fill the memory.
PARTIAL_BYTES = 64 * 1024 * 1024

_kept = {name: metrics.WEBHOOKS_RECEIVED.labels(name) for name in FAMILIES}
_observe = metrics.HTTP_DURATION.observe

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Webhooks:
    """The handler of the public port. `closing` says that answers should end their connections."""

    def __init__(
        self,
        keys: Keys,
        log: EventLog,
        *,
        max_body: int,
        now: Callable[[], float] = time.time,
        closing: Callable[[], bool] = lambda: False,
    ) -> None:
        self._keys = keys
        self._log = log
        self._max_body = max_body
        self._now = now
        self._closing = closing
        self._partial = 0
        self._in_progress = 0
        metrics.HTTP_IN_PROGRESS.set_function(lambda: self._in_progress)

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        """Answers one request."""
        began = time.perf_counter()
        self._in_progress += 1
        try:
            await self._keep(request)
            return answers.kept(
                stay=request.keep_alive and request.version == HttpVersion11 and not self._closing()
            )
        except Refusal as refusal:
            response = answers.refused(refusal)
        except (SignatureError, EnvelopeError) as error:
            response = answers.refused(Refusal(error.reason, str(error)))
        except NotKept as error:
            told = f"{error} The event is not kept: send it again, as Stripe does by itself."
            response = answers.refused(Refusal(error.reason, told))
        finally:
            self._in_progress -= 1
            _observe(time.perf_counter() - began)
        if self._closing():
            response.force_close()
        return response

    async def _keep(self, request: BaseRequest) -> None:
        """Returns when the event is on disk. Raises Refusal, SignatureError, EnvelopeError or NotKept."""
        connection = cast(Connection, request.protocol)
        if request.raw_path != PATH and request.rel_url.raw_path != PATH:
            raise Refusal("not_found", f"There is nothing here. Stripe's webhooks go to {PATH}.", unread=True)
        if request.method != hdrs.METH_POST:
            raise Refusal(
                "method_not_allowed", f"{PATH} takes POST, from Stripe. It shows nothing.", unread=True
            )
        body = await self._receive(request, connection)
        connection.received()
        event = self._believe(request.headers.get(signature.HEADER), body)
        received_at = int(self._now() * 1000)
        headers = routing.headers(event, received_at)
        await self._log.append(routing.key(event).encode(), body, headers, received_at)
        _kept[family(event.type)].inc()

    def _believe(self, header: str | None, body: bytes) -> Envelope:
        try:
            self._keys.verify(header, body, self._now())
        except SignatureError:
            # A cloud's event bus sends no signature; whoever set it up is told so rather than of signatures.
            if not header and (error := envelope.foreign(body)):
                raise error from None
            raise
        return envelope.read(body)

    async def _receive(self, request: BaseRequest, connection: Connection) -> bytes:
        """The whole body, as it came. Nearly every event has come together with its headers."""
        content = request.content
        body = content.read_nowait() if content.is_eof() and content.exception() is None else b""
        if content.at_eof() and len(body) <= self._max_body:
            return body
        length = request.content_length
        if len(body) > self._max_body or (length is not None and length > self._max_body):
            raise self._too_large()
        if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
            await request.writer.write(_CONTINUE)
            request.writer.output_size = 0
        connection.reading(content)
        parts, size = [body], len(body)
        try:
            while not content.at_eof():
                part = await content.readany()
                parts.append(part)
                size += len(part)
                self._partial += len(part)
                if size > self._max_body:
                    raise self._too_large()
                if self._partial > PARTIAL_BYTES:
                    raise Refusal(
                        "overloaded", "Too many large requests come at once. Send it again.", unread=True
                    )
        except ReadDeadline:
            raise Refusal("too_slow", "The request's body did not come in time.", unread=True) from None
        except (RequestPayloadError, ConnectionError):
            content.feed_eof()  # or aiohttp would go on reading, fail, and log it
            raise Refusal("bad_request", "The request's body ended too early.", unread=True) from None
        finally:
            self._partial -= size - len(body)
        return b"".join(parts)

    def _too_large(self) -> Refusal:
        return Refusal(
            "too_large",
            f"The body is larger than {self._max_body} bytes, which no Stripe event is.",
            unread=True,
        )
