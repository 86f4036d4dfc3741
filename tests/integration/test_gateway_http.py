"""The gateway's public port over real connections, with a log in memory: every answer, and hostile senders."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from prometheus_client import REGISTRY

from stream.gateway import server
from stream.gateway.answers import REASONS
from stream.gateway.eventlog import NotKept
from stream.stripe.signature import sign
from tests.gateway import DEADLINE, SECRET, event, gateway, post, read_answer, request


def now() -> int:
    """Read when the test runs: a signature made when the tests were collected is stale 300 s later."""
    return int(time.time())


def count(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(name, labels)
    assert value is not None, f"{name}{labels} does not exist before it is first counted"
    return value


def rejected(reason: str) -> float:
    return count("revstream_webhook_rejected_total", reason=reason)


def test_every_reason_is_there_before_it_is_needed() -> None:
    assert all(rejected(reason) >= 0 for reason in REASONS)


@pytest.fixture(autouse=True)
def _nobody_fills_our_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever is sent here, no line of it gets into the log."""
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


# What is kept


async def test_an_event_is_kept_as_it_was_sent() -> None:
    body = event(id_="evt_é") + b" \n"
    before = count("revstream_webhook_received_total", family="customer"), int(time.time() * 1000)
    async with gateway() as it:
        answer = await post(it.port, request(body))
    assert (answer.code, answer.headers["content-type"]) == (200, "application/json")
    (kept,) = it.log.events
    assert kept.value == body
    assert kept.key == b"cus_1"
    assert before[1] <= kept.timestamp <= int(time.time() * 1000)
    assert kept.headers == {
        "id": "evt_é".encode(),
        "type": b"customer.updated",
        "created": b"1760000000",
        "livemode": b"false",
        "received_at": str(kept.timestamp).encode(),
    }
    assert count("revstream_webhook_received_total", family="customer") == before[0] + 1


async def test_a_connected_accounts_event_carries_its_account_and_version() -> None:
    told = {**json.loads(event()), "account": "acct_9", "api_version": "2026-10-28.endive", "livemode": True}
    async with gateway() as it:
        assert (await post(it.port, request(json.dumps(told).encode()))).code == 200
    (kept,) = it.log.events
    assert kept.key == b"acct_9/cus_1"
    assert kept.headers["account"] == b"acct_9"
    assert kept.headers["api_version"] == b"2026-10-28.endive"
    assert kept.headers["livemode"] == b"true"


@pytest.mark.parametrize(
    "body",
    [
        event(type_="moon.landed"),
        event(object="invoice", customer=None),
        event(id_="evt\r\nX-Injected: 1\r\n\r\n"),
        event(id_="e" * 255),
        event(metadata={"note": "x" * 1_000_000}),
        event().replace(b'"id": "evt_1"', b'"id": "evt_0", "id": "evt_1"'),
        event(metadata={"nul": "\0"}),
    ],
    ids=["unknown type", "null customer", "CR and LF", "long id", "1 MB", "key twice", "NUL"],
)
async def test_odd_but_signed_events_are_kept(body: bytes) -> None:
    async with gateway() as it:
        answer = await post(it.port, request(body))
        assert answer.code == 200
        assert "x-injected" not in answer.headers
    assert [kept.value for kept in it.log.events] == [body]


async def test_a_connection_serves_many_events_in_turn() -> None:
    async with gateway() as it:
        answer = await post(it.port, *(request(event(id_=f"evt_{n}")) for n in range(50)))
        assert answer.code == 200
    assert [kept.headers["id"] for kept in it.log.events] == [f"evt_{n}".encode() for n in range(50)]


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with gateway() as it:
        reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
        writer.write(request(event(id_="evt_1")) + request(b"{}") + request(event(id_="evt_2")))
        codes = [(await read_answer(reader)).code for _ in range(3)]
        writer.close()
        await writer.wait_closed()
    assert codes == [200, 400, 200]


async def test_a_chunked_body_is_put_together() -> None:
    body = event(metadata={"note": "x" * 200_000})
    parts = [body[at : at + 7919] for at in range(0, len(body), 7919)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    head = request(body).partition(b"\r\n\r\n")[0].split(b"\r\n")
    head = [b"Transfer-Encoding: chunked" if line.startswith(b"Content-Length") else line for line in head]
    async with gateway() as it:
        answer = await post(it.port, b"\r\n".join([*head, b"", b""]) + chunks)
        assert answer.code == 200
    assert [kept.value for kept in it.log.events] == [body]


async def test_a_sender_that_asks_first_is_told_to_go_on() -> None:
    whole = request(event(), Expect="100-continue")
    head, body = whole.split(b"\r\n\r\n", 1)
    async with gateway() as it, asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
        writer.write(head + b"\r\n\r\n")
        assert (await read_answer(reader)).code == 100
        writer.write(body)
        assert (await read_answer(reader)).code == 200
        writer.close()
        await writer.wait_closed()


async def test_an_answer_on_http_1_0_ends_the_connection() -> None:
    async with gateway() as it, asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
        writer.write(request(event()).replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert (await read_answer(reader)).code == 200
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


# What is refused

thin = json.dumps(
    {"id": "evt_1", "object": "v2.core.event", "type": "v1.x", "created": "2026-10-01T00:00:00Z"}
)
bridge = json.dumps(
    {"version": "0", "id": "1", "detail-type": "x", "source": "aws.partner/stripe.com", "detail": {}}
)
cloud = json.dumps({"specversion": "1.0", "id": "1", "type": "x", "source": "y", "data": {}})


@pytest.mark.parametrize(
    ("sent", "code", "error"),
    [
        (lambda: request(event(), signature=""), 400, "bad_signature"),
        (lambda: request(event(), signature="t=1,v1=é"), 400, "bad_signature"),
        (lambda: request(event(), signature=sign(event(), "whsec_wrong", now())), 400, "bad_signature"),
        (lambda: request(event(), signature=sign(event(id_="evt_2"), SECRET, now())), 400, "bad_signature"),
        (lambda: request(event(), signature=sign(event(), SECRET, now() - 1000)), 400, "stale"),
        (lambda: request(event(), signature=sign(event(), SECRET, now() + 1000)), 400, "stale"),
        (lambda: request(b""), 400, "unreadable"),
        (lambda: request(event()[:-2]), 400, "unreadable"),
        (lambda: request(b'{"object": "event"}'), 400, "unreadable"),
        (lambda: request(event(id_="e" * 256)), 400, "unreadable"),
        (lambda: request(event().replace(b"evt_1", b"evt\x00")), 400, "unreadable"),
        (lambda: request(b'{"id":' + b"[" * 500_000), 400, "unreadable"),
        (lambda: request(thin.encode()), 400, "thin_event"),
        (lambda: request(bridge.encode()), 400, "eventbridge"),
        (lambda: request(bridge.encode(), signature=""), 400, "eventbridge"),
        (lambda: request(cloud.encode(), signature=""), 400, "cloud_event"),
        (lambda: request(zlib.compress(event()), Content_Encoding="deflate"), 400, "unreadable"),
        (lambda: request(event(), path="/"), 404, "not_found"),
        (lambda: request(event(), path="/metrics"), 404, "not_found"),
        (lambda: request(event(), path="/webhooks/stripe/"), 404, "not_found"),
        (lambda: request(b"", method="GET"), 405, "method_not_allowed"),
        (lambda: request(event(), method="PUT"), 405, "method_not_allowed"),
        (lambda: request(event(metadata={"note": "x" * 2 * 1024 * 1024})), 413, "too_large"),
        (lambda: b"nonsense\r\n\r\n", 400, "bad_request"),
        (lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "bad_request"),
        (lambda: request(event(), X_Long="x" * 40_000), 400, "bad_request"),
        (lambda: request(event()).replace(b"Content-Length: ", b"Content-Length: -"), 400, "bad_request"),
        (
            lambda: request(event()).replace(b"Content-Length: ", b"Transfer-Encoding: chunked\r\nX: "),
            400,
            "bad_request",
        ),
    ],
)
async def test_what_is_refused_is_answered_counted_and_not_kept(
    sent: Callable[[], bytes], code: int, error: str
) -> None:
    before = rejected(error), count("revstream_http_requests_total", code=str(code))
    async with gateway() as it:
        answer = await post(it.port, sent())
    assert (answer.code, answer.error) == (code, error)
    assert b"cus_1" not in answer.body
    assert it.log.events == []
    assert rejected(error) == before[0] + 1
    assert count("revstream_http_requests_total", code=str(code)) == before[1] + 1
    assert answer.headers.get("allow") == ("POST" if code == 405 else None)


async def test_a_query_and_an_absolute_address_are_no_other_place() -> None:
    async with gateway() as it:
        for path in ("/webhooks/stripe?endpoint=live", "http://example.com/webhooks/stripe"):
            assert (await post(it.port, request(event(), path=path))).code == 200
    assert len(it.log.events) == 2


async def test_a_body_that_grows_past_the_limit_in_chunks_is_too_large() -> None:
    async with gateway(max_body=100_000) as it:
        head = request(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        chunk = b"%x\r\n%s\r\n" % (60_000, b"x" * 60_000)
        answer = await post(it.port, head + chunk + chunk + b"0\r\n\r\n")
    assert (answer.code, answer.error) == (413, "too_large")


async def test_partial_bodies_together_are_bounded_and_whole_ones_still_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "PARTIAL_BYTES", 500_000)
    large = request(event(metadata={"note": "x" * 300_000}))
    async with gateway() as it, asyncio.timeout(DEADLINE):
        first_reader, first = await asyncio.open_connection("127.0.0.1", it.port)
        first.write(large[:-1])
        second_reader, second = await asyncio.open_connection("127.0.0.1", it.port)
        second.write(large[:-1])
        both = [asyncio.create_task(read_answer(reader)) for reader in (first_reader, second_reader)]
        (refused,), (waiting,) = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        assert (refused.result().code, refused.result().error) == (503, "overloaded")
        assert (await post(it.port, request(event()))).code == 200
        for writer in (first, second):
            writer.write(large[-1:])
        assert (await waiting).code == 200
        assert (await post(it.port, large)).code == 200, "what was held for the first two is free again"
        for writer in (first, second):
            writer.close()
            with suppress(ConnectionError):  # the refused one was ended
                await writer.wait_closed()


async def test_a_body_of_just_the_limit_is_taken() -> None:
    body = event()
    async with gateway(max_body=len(body)) as it:
        assert (await post(it.port, request(body))).code == 200
        assert (await post(it.port, request(body + b" "))).code == 413


async def test_a_body_that_ends_early_is_not_kept() -> None:
    before = rejected("bad_request")
    async with gateway() as it:
        _, writer = await asyncio.open_connection("127.0.0.1", it.port)
        writer.write(request(event())[:-5])
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(DEADLINE):
            while rejected("bad_request") == before:  # noqa: ASYNC110  the counter has no event to wait for
                await asyncio.sleep(0.01)
    assert it.log.events == []


# Kafka away


@pytest.mark.parametrize("reason", ["kafka_unavailable", "overloaded"])
async def test_without_a_place_to_keep_it_the_answer_is_503(reason: str) -> None:
    async with gateway() as it:
        it.log.failure = NotKept(reason, "There is no place.")  # type: ignore[arg-type]
        answer = await post(it.port, request(event()))
        assert (answer.code, answer.error) == (503, reason)
        assert int(answer.headers["retry-after"]) > 0
        it.log.failure = None
        assert (await post(it.port, request(event()))).code == 200


async def test_no_answer_comes_before_the_ack_and_a_late_failure_is_a_503() -> None:
    async with gateway() as it, asyncio.timeout(DEADLINE):
        it.log.held = True
        first = asyncio.create_task(post(it.port, request(event())))
        while not it.log.waiting:  # noqa: ASYNC110  the log is a plain list
            await asyncio.sleep(0.01)
        assert not first.done()
        it.log.acknowledge()
        assert (await first).code == 200
        second = asyncio.create_task(post(it.port, request(event())))
        while not it.log.waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        it.log.acknowledge(NotKept("kafka_timeout", "It took too long."))
        answer = await second
    assert (answer.code, answer.error) == (503, "kafka_timeout")


async def test_a_sender_that_leaves_before_the_answer_does_not_undo_the_event() -> None:
    async with gateway() as it, asyncio.timeout(DEADLINE):
        it.log.held = True
        _, writer = await asyncio.open_connection("127.0.0.1", it.port)
        writer.write(request(event()))
        while not it.log.waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        (ack,) = it.log.waiting
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0)
        it.log.acknowledge()
        assert not ack.cancelled()
        assert (await post(it.port, request(b""))).code == 400


# Slow, idle and too many


async def test_slow_senders_are_cut_while_a_webhook_passes() -> None:
    whole = request(event())
    half_head, half_body = whole[:40], whole[:-3]
    async with gateway(read_timeout=2.0) as it, asyncio.timeout(DEADLINE):
        before = rejected("too_slow")
        slow = []
        for number in range(200):
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
            writer.write((b"", half_head, half_body, whole[:90])[number % 4])
            slow.append((reader, writer))
        assert (await post(it.port, whole)).code == 200
        async with asyncio.TaskGroup() as group:
            dripping = group.create_task(drip([writer for _, writer in slow[1::4]]))
            ends = await asyncio.gather(*(whole_answer(reader) for reader, _ in slow))
            dripping.cancel()
        assert (await post(it.port, whole)).code == 200
        for _, writer in slow:
            writer.close()
    for number, end in enumerate(ends):
        silent = number % 4 == 0
        assert end == b"" if silent else end.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert rejected("too_slow") == before + 150
    assert len(it.log.events) == 2


async def whole_answer(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the end, which is a reset for one who still sends when nobody reads any more."""
    got = b""
    with suppress(ConnectionResetError):
        while part := await reader.read(65536):
            got += part
    return got


async def drip(writers: list[asyncio.StreamWriter]) -> None:
    """A byte now and then keeps no connection alive: the deadline is for the whole request."""
    while True:
        for writer in writers:
            writer.write(b"x")
        await asyncio.sleep(0.05)


async def test_a_connection_over_the_limit_is_refused_and_a_place_is_had_again() -> None:
    async with gateway(most=3) as it, asyncio.timeout(DEADLINE):
        open_ = [await asyncio.open_connection("127.0.0.1", it.port) for _ in range(3)]
        for reader, writer in open_:
            writer.write(request(event()))
            assert (await read_answer(reader)).code == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
        answer = await read_answer(reader)
        assert (answer.code, answer.error) == (503, "overloaded")
        for _, one in (*open_, (reader, writer)):
            one.close()
            await one.wait_closed()
        while it.server.full:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert (await post(it.port, request(event()))).code == 200


# Stopping


async def test_draining_ends_idle_connections_and_answers_what_is_under_way() -> None:
    async with gateway() as it, asyncio.timeout(DEADLINE):
        idle_reader, idle = await asyncio.open_connection("127.0.0.1", it.port)
        idle.write(request(event(id_="evt_idle")))
        assert (await read_answer(idle_reader)).code == 200
        half_reader, half = await asyncio.open_connection("127.0.0.1", it.port)
        half.write(request(event(id_="evt_half"))[:-5])
        it.log.held = True
        busy_reader, busy = await asyncio.open_connection("127.0.0.1", it.port)
        busy.write(request(event(id_="evt_busy")))
        while not it.log.waiting or len(it.server.connections) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        draining = asyncio.create_task(it.server.drain(10))
        assert await idle_reader.read() == b""
        half.write(request(event(id_="evt_half"))[-5:])
        while len(it.log.waiting) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert not draining.done()
        it.log.acknowledge()
        for reader in (half_reader, busy_reader):
            answer = await read_answer(reader)
            assert answer.code == 200
            assert await reader.read() == b""
        await draining
        for writer in (idle, half, busy):
            writer.close()
            await writer.wait_closed()
    assert {kept.headers["id"] for kept in it.log.events} == {b"evt_idle", b"evt_half", b"evt_busy"}
