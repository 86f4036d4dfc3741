"""Requests out of the bytes of one connection. HTTP/1.1 is read by llhttp, through httptools."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from httptools import HttpParserCallbackError, HttpParserError, HttpRequestParser

from stream.gateway.answers import Refusal

# Stripe's headers have some 600 bytes, and proxies add to them.
MOST_HEAD_BYTES = 32 * 1024
# Of requests that wait for the one before them. Nobody who sends webhooks writes one before the last is answered.
MOST_PIPELINED = 16

_clock = time.perf_counter


class Request(NamedTuple):
    """A whole request. Names of headers are in lower case, and of those that came twice the first counts.

    `stay` keeps the connection open after the answer; `began` is when the headers were here (`time.perf_counter`).
    """

    headers: dict[bytes, bytes]
    body: bytes
    stay: bool
    began: float


class Reader:
    """The requests of one connection, put into `whole` as they become so.

    `admit` is asked about a method and a target before a body is read, and raises Refusal; `max_body` is in bytes.
    `receiving` says that a request is here in part, `in_body` that its headers are here whole, and `length` is how
    much of its body there is. `ended` says that whatever comes is not read any more.
    """

    def __init__(self, whole: deque[Request], admit: Callable[[bytes, bytes], None], max_body: int) -> None:
        self._whole = whole
        self._admit = admit
        self._max_body = max_body
        self._parser = HttpRequestParser(self)
        self.receiving = False
        self.in_body = False
        self.length = 0
        self.ended = False

    def feed(self, data: bytes) -> None:
        """Reads on. Raises Refusal, or what a fault of ours raises, and reads nothing more then."""
        if self.ended:
            return
        already = self.receiving
        try:
            self._parser.feed_data(data)
            if already and self.receiving:
                self._size += len(data)
                self._bound()
        except HttpParserError as error:
            if self.ended:  # something follows what was to be the last request
                return
            self.ended = True
            if isinstance(error, HttpParserCallbackError) and error.__context__ is not None:
                raise error.__context__ from None
            raise Refusal("bad_request", "This is not a valid HTTP request.") from None
        except Refusal:
            self.ended = True
            raise

    def close(self) -> None:
        """Reads nothing more, and lets go of the parser, which holds this reader's methods."""
        self.ended = True
        vars(self).pop("_parser", None)

    def expects_continue(self) -> bool:
        """Whether the sender waits to be told that it may send its body."""
        return b"expect" in self._headers and not self.length

    # llhttp's callbacks: what they raise ends the parsing

    def on_message_begin(self) -> None:
        if len(self._whole) >= MOST_PIPELINED:
            raise Refusal("bad_request", "Too many requests come at once on one connection.")
        self.receiving = True
        self.length = 0
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: bytes | bytearray = b""
        self._size = 0

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_body:  # or it is a trailer, which nobody asked for
            self._headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        self._began = _clock()
        headers = self._headers
        if sum(map(len, headers)) + sum(map(len, headers.values())) > MOST_HEAD_BYTES:
            raise self._head_too_large()
        self._admit(self._parser.get_method(), self._target)
        if self._parser.should_upgrade():  # llhttp would take what follows for another protocol
            raise Refusal("bad_request", "Send the request without Upgrade: it is answered in HTTP/1.1.")
        if int(headers.get(b"content-length", 0)) > self._max_body:
            raise self._too_large()
        self.in_body = True

    def on_body(self, part: bytes) -> None:
        self.length += len(part)
        if self.length > self._max_body:
            raise self._too_large()
        if not self._body:
            self._body = part  # nearly always the whole of it
            return
        if isinstance(self._body, bytes):
            # A list of many small chunks would take twenty times their size.
            self._body = bytearray(self._body)
        self._body += part

    def on_message_complete(self) -> None:
        stay = self._parser.should_keep_alive()
        self._whole.append(Request(self._headers, bytes(self._body), stay, self._began))
        self._body = b""
        self.receiving = self.in_body = False
        self.length = 0
        self.ended = not stay

    def _bound(self) -> None:
        """Bounds what a part of a request takes: what is no body is headers, the framing of chunks, or trailers."""
        if not self.in_body and self._size > MOST_HEAD_BYTES:
            raise self._head_too_large()
        if self._size > 2 * self._max_body + MOST_HEAD_BYTES:
            raise self._too_large()

    def _too_large(self) -> Refusal:
        return Refusal(
            "too_large", f"The body is larger than {self._max_body} bytes, which no Stripe event is."
        )

    def _head_too_large(self) -> Refusal:
        return Refusal("bad_request", f"The request's headers are larger than {MOST_HEAD_BYTES} bytes.")
