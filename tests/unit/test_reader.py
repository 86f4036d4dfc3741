"""Requests out of bytes: what is read, and what is refused."""

from __future__ import annotations

from collections import deque

import pytest

from stream.gateway.answers import Refusal
from stream.gateway.reader import MOST_HEAD_BYTES, MOST_PIPELINED, Reader, Request

MOST_BODY = 4_000
HEAD = b"POST /webhooks/stripe HTTP/1.1\r\nHost: localhost\r\n"


def admit(method: bytes, target: bytes) -> None:
    if method != b"POST":
        raise Refusal("method_not_allowed", "Not this.")


def reader() -> tuple[Reader, deque[Request]]:
    whole: deque[Request] = deque()
    return Reader(whole, admit, MOST_BODY), whole


def refused(*parts: bytes) -> str:
    """The reason for which the last part is refused."""
    it, _ = reader()
    for part in parts[:-1]:
        it.feed(part)
    with pytest.raises(Refusal) as caught:
        it.feed(parts[-1])
    assert it.ended
    it.feed(HEAD + b"\r\n")  # nothing more is read, and nothing raised
    assert str(caught.value).endswith(".")
    return caught.value.reason


def test_a_request_has_its_headers_in_lower_case_and_the_first_of_two() -> None:
    it, whole = reader()
    it.feed(HEAD + b"X-One: 1\r\nx-one: 2\r\nContent-Length: 4\r\n\r\nbody")
    (request,) = whole
    assert request.headers == {b"host": b"localhost", b"x-one": b"1", b"content-length": b"4"}
    assert (request.body, request.stay) == (b"body", True)


def test_a_proxy_that_speaks_of_upgrading_and_asks_for_none_is_no_obstacle() -> None:
    it, whole = reader()
    it.feed(HEAD + b"Connection: upgrade\r\nContent-Length: 4\r\n\r\nbody")
    assert [(request.body, request.stay) for request in whole] == [(b"body", True)]


@pytest.mark.parametrize(
    "head", [HEAD + b"Connection: close\r\n", HEAD.replace(b"HTTP/1.1", b"HTTP/1.0")], ids=["close", "1.0"]
)
def test_after_the_last_request_nothing_is_read(head: bytes) -> None:
    it, whole = reader()
    it.feed(head + b"Content-Length: 0\r\n\r\n" + HEAD + b"\r\n")
    it.feed(HEAD)
    assert [request.stay for request in whole] == [False]
    assert it.ended


def test_a_request_is_known_in_part() -> None:
    it, whole = reader()
    it.feed(HEAD)
    assert (it.receiving, it.in_body) == (True, False)
    it.feed(b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    assert (it.receiving, it.in_body, it.length, it.expects_continue()) == (True, True, 0, True)
    it.feed(b"bo")
    assert (it.length, it.expects_continue()) == (2, False)
    it.feed(b"dy")
    assert (it.receiving, it.in_body, it.length, len(whole)) == (False, False, 0, 1)


def test_what_the_handler_does_not_admit_is_refused_before_its_body() -> None:
    assert refused(b"PUT / HTTP/1.1\r\nContent-Length: 900\r\n\r\n") == "method_not_allowed"


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"POST / HTTP/3.0\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
        HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody",
        HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
        HEAD + b"Two words: 1\r\n\r\n",
        HEAD + b"X-Nul: \0\r\n\r\n",
        HEAD + b" folded: 1\r\n\r\n",
        HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\nbody",
    ],
)
def test_what_is_no_or_two_things_at_once_is_refused(sent: bytes) -> None:
    assert refused(sent) == "bad_request"


def test_headers_are_bounded_at_once_and_in_pieces() -> None:
    long = b"X-Long: " + b"x" * MOST_HEAD_BYTES
    assert refused(HEAD + long + b"\r\n\r\n") == "bad_request"
    assert refused(HEAD, long) == "bad_request"
    assert refused(HEAD, b"X" * (MOST_HEAD_BYTES + 1)) == "bad_request"
    assert refused(b"POST /", b"x" * (MOST_HEAD_BYTES + 1)) == "bad_request"
    it, whole = reader()
    it.feed(HEAD + b"X-Long: " + b"x" * (MOST_HEAD_BYTES // 2) + b"\r\nContent-Length: 0\r\n\r\n")
    assert len(whole) == 1


def test_a_body_is_bounded_as_told_and_as_it_comes() -> None:
    assert refused(HEAD + b"Content-Length: 4001\r\n\r\n") == "too_large"
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    assert refused(chunked + b"fa1\r\n" + b"x" * (MOST_BODY + 1)) == "too_large"
    it, whole = reader()
    it.feed(chunked + b"fa0\r\n" + b"x" * MOST_BODY + b"\r\n0\r\n\r\n")
    assert len(whole[0].body) == MOST_BODY


def test_chunks_and_trailers_are_bounded() -> None:
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    assert refused(chunked, b"1;" + b"x" * (MOST_HEAD_BYTES + 2 * MOST_BODY)) == "too_large"
    assert refused(chunked + b"0\r\n", b"X-Long: " + b"x" * (MOST_HEAD_BYTES + 2 * MOST_BODY)) == "too_large"


def test_too_many_requests_at_once_are_refused_after_those_that_were_not() -> None:
    it, whole = reader()
    with pytest.raises(Refusal, match="Too many requests"):
        it.feed((HEAD + b"Content-Length: 0\r\n\r\n") * (MOST_PIPELINED + 1))
    assert len(whole) == MOST_PIPELINED


def test_a_body_as_large_as_the_requests_before_it_is_not_taken_for_headers() -> None:
    it, whole = reader()
    one = HEAD + b"Content-Length: 4000\r\n\r\n" + b"x" * MOST_BODY
    many = one * (MOST_PIPELINED - 1)
    assert len(many) > MOST_HEAD_BYTES
    it.feed(many + HEAD[:10])
    whole.clear()
    it.feed(HEAD[10:] + b"Content-Length: 0\r\n\r\n")
    assert len(whole) == 1
