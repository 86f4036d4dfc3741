"""One connection: its requests are handled one after the other, and answered.

That is little enough to be done without a web framework, whose objects and task for each webhook took half of the
gateway's time, and which has no deadline for receiving a request.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import traceback
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, cast

from stream import metrics
from stream.gateway import answers
from stream.gateway.answers import Refusal
from stream.gateway.reader import Reader, Request

if TYPE_CHECKING:
    from stream.gateway.server import Server

log = logging.getLogger(__name__)

# Longer than the 60 s after which load balancers end an idle connection: then they end it, and never find it
# just ended by us.
KEEPALIVE_SECONDS = 75.0
# How long the rest of a refused request is read away, so that the sender gets to see the answer, and how long an
# answer may take to get out.
LINGER_SECONDS = 2.0

_observe = metrics.HTTP_DURATION.observe
_clock = time.perf_counter


class Handler(Protocol):
    """What the requests are for.

    `admit` looks at a request's method and target before its body is here. `keep` takes its headers (names in lower
    case) and body, and gives what is done when the answer may be 200. What either raises, or that fails with, is a
    Refusal.
    """

    def admit(self, method: bytes, target: bytes) -> None: ...

    def keep(self, headers: Mapping[bytes, bytes], body: bytes) -> asyncio.Future[None]: ...


class Connection(asyncio.Protocol):
    """One connection. `deadline` is the loop's time at which its server is to cut it."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._keep = server.handler.keep
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Request] = deque()
        self._reader = Reader(self._waiting, server.handler.admit, server.max_body)
        self._handled: Request | None = None  # waits for its ack
        self._last: Exception | None = None  # to be answered after all others
        self._idle = False  # the last one is answered, and nothing has come since
        self._blocked = False  # the sender does not read its answers
        self._paused = False  # nothing more is read until what waits is handled
        self._held = 0  # bytes of a partial body that the server knows of
        self.deadline = math.inf

    # What comes in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._server.full:
            refusal = Refusal("overloaded", "Too many connections are open. Send the event again later.")
            self._write(answers.refused(refusal, stay=False))
            self._close()
            return
        self.deadline = self._loop.time() + self._server.read_timeout
        self._server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
        except Exception as error:
            self._end(error)
            return
        if self._reader.receiving or self._held:
            self._await_more()
        if self._waiting:
            self._go_on()

    def _await_more(self) -> None:
        """A request is here in part: bounds how long it may take, and what all parts take."""
        reader = self._reader
        if self._idle:
            self._idle = False
            self.deadline = self._loop.time() + self._server.read_timeout
        self._hold(reader.length)
        if self._server.crowded:
            self._end(Refusal("overloaded", "Too many large requests come at once. Send it again."))
        elif reader.in_body and reader.expects_continue() and not self._handled and not self._waiting:
            self._write(answers.CONTINUE)

    def _hold(self, length: int) -> None:
        self._server.held += length - self._held
        self._held = length

    # What goes out

    def _end(self, error: Exception) -> None:
        """Reads no more, and answers with what went wrong after what came before."""
        self._reader.close()
        self._hold(0)
        self._last = error
        self._go_on()

    def _go_on(self) -> None:
        """Handles what has come, one after the other."""
        while self._handled is None and not self._blocked:
            if self._waiting:
                self._handle(self._waiting.popleft())
            elif self._last is not None:
                self._write(_told(self._last, stay=False))
                self._last = None
                self._linger()
            else:
                break
        if bool(self._waiting) != self._paused and (transport := self._open()):
            self._paused = not self._paused
            (transport.pause_reading if self._paused else transport.resume_reading)()

    def _handle(self, request: Request) -> None:
        self.deadline = math.inf
        self._idle = False
        self._handled = request
        self._server.in_progress += 1
        try:
            kept = self._keep(request.headers, request.body)
        except Exception as error:
            self._answer(error)
        else:
            kept.add_done_callback(self._acknowledged)

    def _acknowledged(self, kept: asyncio.Future[None]) -> None:
        self._answer(kept.exception())
        if self._waiting or self._last is not None:
            self._go_on()

    def _answer(self, error: BaseException | None) -> None:
        """Answers the request in hand: with 200, or with what went wrong."""
        request = cast(Request, self._handled)
        self._handled = None
        self._server.in_progress -= 1
        stay = request.stay and not self._server.draining
        if error is not None and not isinstance(error, Refusal):
            stay = False
        self._write(answers.kept(stay=stay) if error is None else _told(error, stay=stay))
        _observe(_clock() - request.began)
        if not stay:
            self._close()
        elif self._reader.receiving:
            self.deadline = self._loop.time() + self._server.read_timeout
        else:
            self._idle = True
            self.deadline = self._loop.time() + KEEPALIVE_SECONDS

    def _open(self) -> asyncio.Transport | None:
        """What can be written to. The sender may have gone, and uvloop raises then."""
        transport = self._transport
        return None if transport is None or transport.is_closing() else transport

    def _write(self, answer: bytes) -> None:
        if transport := self._open():
            transport.write(answer)

    def pause_writing(self) -> None:
        self._blocked = True
        self.deadline = self._loop.time() + self._server.read_timeout

    def resume_writing(self) -> None:
        self._blocked = False
        self._go_on()

    # How it ends

    def _linger(self) -> None:
        """Ends the connection from this side, and reads away what the sender has still to send: closed on unread
        bytes, it would be reset, and the sender might never see the answer."""
        if transport := self._open():
            transport.write_eof()
            self.deadline = self._loop.time() + LINGER_SECONDS

    def _close(self) -> None:
        """Ends the connection when what is written is out."""
        self._reader.close()
        self._hold(0)
        self._waiting.clear()
        self._last = None
        if transport := self._open():
            transport.close()
            self.deadline = self._loop.time() + LINGER_SECONDS

    def cut(self) -> None:
        """Ends what takes too long."""
        if self._reader.ended or self._blocked:
            self.abort()
        elif self._reader.receiving:
            what = "body" if self._reader.in_body else "headers"
            self._end(Refusal("too_slow", f"The request's {what} did not come in time."))
        else:
            self._close()

    def abort(self) -> None:
        """Ends the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def finish(self) -> None:
        """Ends the connection once the request under way is answered; at once when there is none."""
        if self._handled is None and not self._reader.receiving and not self._reader.ended:
            self._close()

    def connection_lost(self, error: Exception | None) -> None:
        if self._reader.in_body and not self._reader.ended:
            answers.refused(Refusal("bad_request", "The request's body ended too early."), stay=False)
        self._transport = None
        self._close()
        self._server.lost(self)


def _told(error: BaseException, *, stay: bool) -> bytes:
    """The answer to what went wrong. A fault of ours is logged without its message, which may quote the request."""
    if isinstance(error, Refusal):
        return answers.refused(error, stay=stay)
    trace = "".join(traceback.format_tb(error.__traceback__))
    log.error("A request failed with %s.\n%s", type(error).__name__, trace)
    return answers.failed()
