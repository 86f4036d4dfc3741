"""The gateway's handler on a fake event log, and raw HTTP to talk to it: what tests of the gateway share."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from stream.gateway.eventlog import NotKept
from stream.gateway.server import Server
from stream.gateway.webhook import PATH, Webhooks
from stream.stripe.routing import Headers
from stream.stripe.signature import Keys, sign

SECRET = "whsec_test"
DEADLINE = 60.0


class Kept(msgspec.Struct, frozen=True):
    """One event as the log got it."""

    key: bytes
    value: bytes
    headers: dict[str, bytes]
    timestamp: int


class FakeLog:
    """An `EventLog` in memory. `failure` is what happens to the next events; `held` holds back every ack."""

    def __init__(self) -> None:
        self.events: list[Kept] = []
        self.failure: NotKept | None = None
        self.held = False
        self.waiting: list[asyncio.Future[None]] = []

    def append(self, key: bytes, value: bytes, headers: Headers, timestamp: int) -> asyncio.Future[None]:
        if self.failure is not None:
            raise self.failure
        self.events.append(Kept(key, value, dict(headers), timestamp))
        ack = asyncio.get_running_loop().create_future()
        self.waiting.append(ack)
        if not self.held:
            self.acknowledge()
        return ack

    def acknowledge(self, error: NotKept | None = None) -> None:
        for ack in self.waiting:
            if error is None:
                ack.set_result(None)
            else:
                ack.set_exception(error)
        self.waiting.clear()

    def trouble(self) -> str | None:
        return str(self.failure) if self.failure else None


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer. Header names are in lower case."""

    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> str:
        """The `error` of a refusal's JSON."""
        told = json.loads(self.body)
        assert set(told) == {"error", "message"}
        assert told["message"].endswith(".")
        return str(told["error"])


class Gateway(msgspec.Struct, frozen=True):
    """A running handler."""

    port: int
    log: FakeLog
    server: Server


@asynccontextmanager
async def gateway(
    *, read_timeout: float = 10, most: int = 1000, max_body: int = 1024 * 1024
) -> AsyncIterator[Gateway]:
    """The handler on a free port of loopback."""
    log = FakeLog()
    server = Server(Webhooks(Keys([SECRET]), log), read_timeout=read_timeout, most=most, max_body=max_body)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    sweeper = asyncio.create_task(server.sweep())
    try:
        yield Gateway(listener.sockets[0].getsockname()[1], log, server)
    finally:
        listener.close()
        if not server.draining:
            await server.drain(1)
        sweeper.cancel()
        await listener.wait_closed()


def event(id_: str = "evt_1", type_: str = "customer.updated", **object_: Any) -> bytes:
    """A small event of a customer."""
    about = {"id": "cus_1", "object": "customer", **object_}
    return json.dumps(
        {"id": id_, "object": "event", "type": type_, "created": 1_760_000_000, "data": {"object": about}}
    ).encode()


def request(
    body: bytes, *, signature: str | None = None, method: str = "POST", path: str = PATH, **headers: str
) -> bytes:
    """A whole request, signed now unless a signature is given; an empty one leaves the header out."""
    signature = sign(body, SECRET, int(time.time())) if signature is None else signature
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"Stripe-Signature: {signature}"] if signature else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """The next answer on a connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Answer(int(first.split()[1]), headers, body)


async def post(port: int, *requests: bytes) -> Answer:
    """The answer to the last of some requests sent one after the other on one connection."""
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for each in requests:
                writer.write(each)
                answer = await read_answer(reader)
            return answer
        finally:
            writer.close()
            await writer.wait_closed()
