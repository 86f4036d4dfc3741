"""A load client: many keep-alive connections, each with one request at a time, in a process of its own.

`python -m tests.bench.load HOST:PORT CONNECTIONS SECONDS < requests` reads whole HTTP requests, each after its
length (4 bytes, big-endian), sends them in turn, and prints one JSON object: requests answered, by status code,
seconds, and the quantiles of the answer time. It does as little as it can, so as not to be what is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from itertools import cycle
from typing import cast

import uvloop


class Run:
    """What all connections share."""

    def __init__(self, requests: list[bytes], seconds: float) -> None:
        self.next = cycle(requests).__next__
        self.until = time.perf_counter() + seconds
        self.codes: Counter[bytes] = Counter()
        self.times: list[float] = []
        self.errors = 0


class Client(asyncio.Protocol):
    """One connection. The answers it can read have a Content-Length and a small body."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._answer = b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._run.next())

    def data_received(self, data: bytes) -> None:
        self._answer = answer = self._answer + data if self._answer else data
        head, found, body = answer.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.index(b"Content-Length: ") + 16
        if len(body) < int(head[at : at + 6].split(b"\r", 1)[0]):
            return
        now = time.perf_counter()
        self._answer = b""
        self._run.codes[head[9:12]] += 1
        self._run.times.append(now - self._sent)
        if now < self._run.until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None or time.perf_counter() < self._run.until:
            self._run.errors += 1
        self.done.set_result(None)


async def main(address: str, connections: int, seconds: float) -> None:
    requests = []
    source = sys.stdin.buffer
    while length := source.read(4):
        requests.append(source.read(int.from_bytes(length)))
    host, _, port = address.rpartition(":")
    run = Run(requests, seconds)
    began, cpu = time.perf_counter(), time.process_time()
    clients = []
    for _ in range(connections):
        _, client = await asyncio.get_running_loop().create_connection(lambda: Client(run), host, int(port))
        clients.append(client)
    await asyncio.wait([client.done for client in clients])
    took = time.perf_counter() - began
    run.times.sort()
    print(
        json.dumps(
            {
                "answered": len(run.times),
                "codes": {code.decode(): count for code, count in run.codes.items()},
                "errors": run.errors,
                "seconds": took,
                "cpu": time.process_time() - cpu,
                "p50": run.times[len(run.times) // 2],
                "p99": run.times[len(run.times) * 99 // 100],
            }
        )
    )


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
