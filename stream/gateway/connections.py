"""Connections that are slow, idle or too many. aiohttp has no deadline for receiving a request.

Seen with aiohttp 3.14: a connection that sent nothing, half a header or half a body was still open after
150 s. So every connection notes since when a request is being received, and one sweep a second ends those
that take too long. A timer for each request would cost more than all the rest of this.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import StreamReader, web
from aiohttp.web import BaseRequest
from aiohttp.web_response import StreamResponse

from stream.gateway import answers
from stream.gateway.answers import Refusal

log = logging.getLogger(__name__)

# Longer than the 60 s after which load balancers end an idle connection: then they end it, and never find it
# just ended by us.
KEEPALIVE_SECONDS = 75.0
# How long the rest of a refused body is read away, so that the sender gets to see the answer.
LINGER_SECONDS = 2.0

Handler = Callable[[BaseRequest], Awaitable[StreamResponse]]


class ReadDeadline(TimeoutError):
    """A request's body did not come whole in time. A TimeoutError, which aiohttp takes as the end of a body
    that it reads away; it would log any other with its trace."""


class Connection(web.RequestHandler):
    """One connection, which knows since when a request is being received (0 when none is)."""

    __slots__ = ("_begun", "_body", "_server", "since")

    def __init__(self, server: Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self._body: StreamReader | None = None
        self._begun = False
        self.since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._server.full:
            refusal = Refusal("overloaded", "Too many connections are open. Send the event again later.")
            refused = cast(asyncio.Transport, transport)
            refused.write(answers.raw(refusal))
            refused.close()
            self._force_close = True
            return
        super().connection_made(transport)
        self.since = self._loop.time()

    def data_received(self, data: bytes) -> None:
        self._begun = True
        if not self.since:
            self.since = self._loop.time()
        super().data_received(data)

    def reading(self, body: StreamReader) -> None:
        """A request's headers are here, and its handler waits for the rest of its body."""
        self._body = body

    def received(self) -> None:
        """The request is here: until more bytes come, nothing is being received."""
        self._body = None
        self._begun = False
        self.since = 0.0

    def cut(self) -> None:
        """Ends what takes too long: a body through its handler, which answers 408, and the rest right here."""
        self.since = 0.0
        if self._body is not None:
            self._body.set_exception(ReadDeadline())
        elif self._request_in_progress:
            return  # a pipelined request that waits for the one before it
        elif self.transport is not None:
            if self._begun:
                self.transport.write(
                    answers.raw(Refusal("too_slow", "The request's headers did not come in time."))
                )
            self.force_close()

    def finish(self) -> None:
        """Ends the connection once the request under way is answered; at once when there is none."""
        if self._request_in_progress and self._body is None:
            self.close()  # aiohttp reads nothing more from it then
        elif not self._begun:
            self.force_close()

    @property
    def task(self) -> asyncio.Task[None] | None:
        """What serves the connection; it is done when the connection has ended."""
        return self._task_handler

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """Answers what is no HTTP, and faults of our own; aiohttp would write a log line for each of the former.

        A fault is logged without its message, which may quote the request.
        """
        if status == 400:
            return answers.refused(Refusal("bad_request", "This is not a valid HTTP request.", unread=True))
        trace = "".join(traceback.format_tb(exc.__traceback__)) if exc else ""
        log.error("A request failed with %s.\n%s", type(exc).__name__, trace)
        response = answers.failed()
        response.force_close()
        return response


class Server(web.Server):
    """Serves one handler on plain HTTP/1.1, with deadlines and a bound on connections.

    `read_timeout` (seconds) is for the headers and body of one request, and for a new connection to send its
    first byte; `most` is how many connections may be open.
    """

    def __init__(self, handler: Handler, *, read_timeout: float, most: int) -> None:
        super().__init__(
            handler,
            access_log=None,
            auto_decompress=False,  # the signature is over the bytes as they came
            keepalive_timeout=KEEPALIVE_SECONDS,
            lingering_time=LINGER_SECONDS,
        )
        self._read_timeout = read_timeout
        self._most = most
        self.draining = False

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._kwargs)

    @property
    def full(self) -> bool:
        """Whether a new connection has to be refused."""
        return len(self._connections) >= self._most

    async def sweep(self) -> None:
        """Cuts what takes too long, until cancelled."""
        pause = min(1.0, self._read_timeout / 10)
        while True:
            await asyncio.sleep(pause)
            latest = self._loop.time() - self._read_timeout
            for connection in self._own():
                if connection.since and connection.since < latest:
                    connection.cut()

    async def drain(self, seconds: float) -> None:
        """Ends idle connections at once and the others after their answer, or after some seconds."""
        self.draining = True
        for connection in self._own():
            connection.finish()
        if busy := [task for connection in self._own() if (task := connection.task)]:
            await asyncio.wait(busy, timeout=seconds)
        await self.shutdown(1.0)

    def _own(self) -> list[Connection]:
        return [handler for handler in self._connections if isinstance(handler, Connection)]
