"""One connection of the gateway: the order of its answers, and how it ends."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any

import pytest

from stream.gateway.answers import Refusal
from stream.gateway.connection import KEEPALIVE_SECONDS, Connection
from stream.gateway.server import Server

READ_TIMEOUT = 5.0


class Transport(asyncio.Transport):
    """Remembers what is done to it. It is closed when it is told so."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.done: list[str] = []
        self.closing = False

    def write(self, data: Any) -> None:
        assert not self.closing, "uvloop raises"
        self.written += data

    def write_eof(self) -> None:
        assert not self.closing, "uvloop raises"
        self.done.append("write_eof")

    def pause_reading(self) -> None:
        self.done.append("pause_reading")

    def resume_reading(self) -> None:
        self.done.append("resume_reading")

    def close(self) -> None:
        self.closing = True
        self.done.append("close")

    def abort(self) -> None:
        self.closing = True
        self.done.append("abort")

    def is_closing(self) -> bool:
        return self.closing

    @property
    def codes(self) -> list[int]:
        return [int(part[:3]) for part in self.written.split(b"HTTP/1.1 ")[1:]]


class Desk:
    """A handler that is told what becomes of each body."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.acks: list[asyncio.Future[None]] = []
        self.fault: Exception | None = None

    def admit(self, method: bytes, target: bytes) -> None:
        if target != b"/":
            raise Refusal("not_found", "Not here.")

    def keep(self, headers: Mapping[bytes, bytes], body: bytes) -> asyncio.Future[None]:
        if self.fault is not None:
            raise self.fault
        self.kept.append(body)
        self.acks.append(asyncio.get_running_loop().create_future())
        return self.acks[-1]


def request(body: bytes, *headers: bytes, target: bytes = b"/") -> bytes:
    return b"\r\n".join(
        [b"POST %s HTTP/1.1" % target, b"Content-Length: %d" % len(body), *headers, b"", body]
    )


class Talk:
    """A connection, both ends."""

    def __init__(self, most: int = 10) -> None:
        self.desk = Desk()
        self.server = Server(self.desk, read_timeout=READ_TIMEOUT, most=most, max_body=1_000)
        self.wire = Transport()
        self.it: Connection = self.server()
        self.it.connection_made(self.wire)

    async def ack(self, number: int, error: Exception | None = None) -> None:
        ack = self.desk.acks[number]
        ack.set_exception(error) if error else ack.set_result(None)
        await asyncio.sleep(0)

    def left(self) -> float:
        """Seconds until it is cut."""
        return self.it.deadline - asyncio.get_running_loop().time()


async def test_requests_are_handled_one_after_the_other_and_read_no_faster() -> None:
    talk = Talk()
    talk.it.data_received(request(b"one") + request(b"two") + request(b"three"))
    assert talk.desk.kept == [b"one"]
    assert talk.wire.done == ["pause_reading"]
    await talk.ack(0)
    await talk.ack(1)
    assert talk.desk.kept == [b"one", b"two", b"three"]
    assert talk.wire.done == ["pause_reading", "resume_reading"]
    assert talk.wire.codes == [200, 200]
    await talk.ack(2)
    assert talk.wire.codes == [200, 200, 200]


async def test_a_refusal_waits_for_the_answer_before_it_and_ends_the_connection() -> None:
    talk = Talk()
    talk.it.data_received(request(b"one") + request(b"two", target=b"/elsewhere") + request(b"three"))
    assert talk.wire.codes == []
    await talk.ack(0)
    assert talk.wire.codes == [200, 404]
    assert talk.wire.done[-1] == "write_eof"
    talk.it.data_received(request(b"four"))
    assert talk.desk.kept == [b"one"]


async def test_what_fails_is_answered_and_the_next_is_handled() -> None:
    talk = Talk()
    talk.it.data_received(request(b"one") + request(b"two"))
    await talk.ack(0, Refusal("kafka_timeout", "No ack."))
    await talk.ack(1)
    assert talk.wire.codes == [503, 200]


async def test_a_fault_of_ours_is_a_500_that_ends_the_connection_and_quotes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    talk = Talk()
    talk.desk.fault = ValueError("cus_secret")
    talk.it.data_received(request(b"one") + request(b"two"))
    assert talk.wire.codes == [500]
    assert talk.wire.done == ["close"]
    assert "ValueError" in caplog.text
    assert "cus_secret" not in caplog.text
    assert talk.server.in_progress == 0


async def test_a_fault_of_ours_before_the_body_is_no_fault_of_the_senders(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fault = ValueError("cus_secret")

    def fail(desk: Desk, method: bytes, target: bytes) -> None:
        raise fault

    monkeypatch.setattr(Desk, "admit", fail)
    talk = Talk()
    talk.it.data_received(request(b"one"))
    assert talk.wire.codes == [500]
    assert talk.wire.done == ["write_eof"]
    assert "ValueError" in caplog.text
    assert "cus_secret" not in caplog.text


async def test_a_sender_that_is_gone_leaves_nothing_behind() -> None:
    talk = Talk()
    talk.it.data_received(request(b"one") + request(b"two") + request(b"three")[:-1])
    assert talk.server.in_progress == 1
    talk.wire.closing = True  # the loop knows before it tells
    await talk.ack(0)
    talk.it.connection_lost(None)
    assert talk.wire.written == b""
    assert talk.server.connections == set()
    assert (talk.server.in_progress, talk.server.held) == (1, 0), "the second had begun"
    await talk.ack(1)
    assert talk.server.in_progress == 0


async def test_the_deadline_is_the_first_requests_then_the_idle_times_then_the_next_ones() -> None:
    talk = Talk()
    assert talk.left() == pytest.approx(READ_TIMEOUT, abs=1)
    whole = request(b"one")
    talk.it.deadline -= 2
    talk.it.data_received(whole[:-1])
    assert talk.left() == pytest.approx(READ_TIMEOUT - 2, abs=1), "a byte now and then is no new start"
    talk.it.data_received(whole[-1:])
    assert talk.it.deadline == math.inf
    await talk.ack(0)
    assert talk.left() == pytest.approx(KEEPALIVE_SECONDS, abs=1)
    talk.it.data_received(whole[:5])
    assert talk.left() == pytest.approx(READ_TIMEOUT, abs=1)
    talk.it.data_received(whole[5:] + whole[:5])
    await talk.ack(1)
    assert talk.left() == pytest.approx(READ_TIMEOUT, abs=1)


async def test_what_is_cut_is_told_why_and_cut_off_if_it_stays() -> None:
    talk = Talk()
    talk.it.data_received(request(b"one")[:-1])
    assert talk.server.held == 2
    talk.it.cut()
    assert talk.wire.codes == [408]
    assert talk.wire.done == ["write_eof"]
    assert talk.server.held == 0
    talk.it.cut()
    assert talk.wire.done == ["write_eof", "abort"]
    silent = Talk()
    silent.it.cut()
    assert (silent.wire.written, silent.wire.done) == (b"", ["close"])


async def test_who_does_not_read_answers_gets_no_more_of_them_and_is_cut_off() -> None:
    talk = Talk()
    talk.it.data_received(request(b"one") + request(b"two"))
    talk.it.pause_writing()
    await talk.ack(0)
    assert talk.desk.kept == [b"one"]
    talk.it.resume_writing()
    assert talk.desk.kept == [b"one", b"two"]
    talk.it.pause_writing()
    assert talk.left() == pytest.approx(READ_TIMEOUT, abs=1)
    talk.it.cut()
    assert talk.wire.done[-1] == "abort"


async def test_leave_to_send_a_body_is_given_in_turn_and_only_when_it_is_awaited() -> None:
    asks = request(b"one", b"Expect: 100-continue")
    talk = Talk()
    talk.it.data_received(asks)
    assert talk.wire.codes == []
    talk.it.data_received(asks[:-3])
    assert talk.wire.codes == [], "the answer to the first comes before it"
    talk.it.data_received(asks[-3:])
    await talk.ack(0)
    await talk.ack(1)
    talk.it.data_received(asks[:-3])
    talk.it.data_received(asks[-3:])
    await talk.ack(2)
    assert talk.wire.codes == [200, 200, 100, 200]


async def test_one_connection_too_many_takes_no_place() -> None:
    talk = Talk(most=0)
    assert talk.wire.codes == [503]
    assert talk.wire.done == ["close"]
    assert talk.server.connections == set()
    talk.it.data_received(request(b"one"))
    talk.it.connection_lost(None)
    assert talk.desk.kept == []


async def test_draining_answers_what_is_under_way_and_closes() -> None:
    talk = Talk()
    talk.it.data_received(request(b"one"))
    talk.server.draining = True
    talk.it.finish()
    assert talk.wire.done == []
    await talk.ack(0)
    assert talk.wire.done == ["close"]
    assert b"Connection: close" in talk.wire.written
