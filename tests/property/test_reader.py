"""However the bytes of a connection are cut, the same requests come out; whatever they are, at worst a refusal."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from stream.gateway.answers import Refusal
from stream.gateway.reader import MOST_HEAD_BYTES, Reader, Request

MOST_BODY = 5_000


def read(parts: list[bytes]) -> tuple[list[tuple[dict[bytes, bytes], bytes, bool]], str | None, bool]:
    """The requests, the reason of a refusal, and whether one is here in part."""
    whole: deque[Request] = deque()
    asked: list[bytes] = []
    reader = Reader(whole, lambda method, target: asked.append(method + target), MOST_BODY)
    reason = None
    for part in parts:
        try:
            reader.feed(part)
        except Refusal as refusal:
            assert reason is None, "nothing is read after a refusal"
            reason = refusal.reason
        assert reader.length <= MOST_BODY + len(part)
    return [(one.headers, one.body, one.stay) for one in whole], reason, reader.receiving


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({place % (len(data) + 1) for place in at} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


bodies = st.binary(max_size=300)
names = st.sampled_from(["Host", "stripe-signature", "X-Forwarded-For", "EXPECT", "Accept"])
values = st.text(st.characters(codec="ascii", categories=("L", "N")), max_size=20)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    lines = [f"{draw(st.sampled_from(['POST', 'GET', 'PUT']))} /{draw(values)} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in draw(st.lists(st.tuples(names, values), max_size=5))]
    body = draw(bodies)
    if draw(st.booleans()):
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body
    at = draw(st.integers(0, len(body)))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:at], body[at:]) if part)
    trailer = draw(st.sampled_from([b"", b"Stripe-Signature: trailing\r\n"]))
    return (
        "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode()
        + chunks
        + b"0\r\n"
        + trailer
        + b"\r\n"
    )


@given(st.lists(requests(), min_size=1, max_size=4), st.lists(st.integers(0, 10_000), max_size=12))
def test_the_same_requests_come_out_however_the_bytes_are_cut(sent: list[bytes], at: list[int]) -> None:
    together = b"".join(sent)
    apart = [read([one])[0][0] for one in sent]
    assert read([together]) == (apart, None, False)
    assert read(cut(together, at)) == (apart, None, False)
    assert read([together[place : place + 1] for place in range(len(together))]) == (apart, None, False)


@given(st.binary(max_size=2_000), st.lists(st.integers(0, 2_000), max_size=5))
def test_whatever_bytes_come_there_is_a_request_or_a_refusal_or_more_is_awaited(
    data: bytes, at: list[int]
) -> None:
    read(cut(data, at))


@given(
    requests(), st.binary(min_size=1, max_size=30), st.integers(0, 10_000), st.lists(st.integers(0, 10_000))
)
def test_a_damaged_request_does_no_more_harm(sent: bytes, junk: bytes, place: int, at: list[int]) -> None:
    place %= len(sent)
    found, _, _ = read(cut(sent[:place] + junk + sent[place + len(junk) :], at))
    assert all(sum(map(len, headers.values())) <= MOST_HEAD_BYTES for headers, _, _ in found)
