"""All connections of the public port: how many there may be, how long each may take, and how they end."""

from __future__ import annotations

import asyncio

from stream import metrics
from stream.gateway.connection import Connection, Handler

# Of all bodies that have come in part: without a bound, slow senders of nearly 1 MiB could fill the memory.
PARTIAL_BYTES = 64 * 1024 * 1024


class Server:
    """Serves one handler on plain HTTP/1.1, with deadlines and bounds.

    `read_timeout` (seconds) is for the headers and body of one request, and for a new connection to send its
    first byte; `most` is how many connections may be open; `max_body` is in bytes.
    """

    def __init__(self, handler: Handler, *, read_timeout: float, most: int, max_body: int) -> None:
        self.handler = handler
        self.read_timeout = read_timeout
        self.max_body = max_body
        self._most = most
        self.connections: set[Connection] = set()
        self.draining = False
        self.held = 0
        self.in_progress = 0
        self._empty = asyncio.Event()
        metrics.HTTP_IN_PROGRESS.set_function(lambda: self.in_progress)

    def __call__(self) -> Connection:
        return Connection(self, asyncio.get_running_loop())

    @property
    def full(self) -> bool:
        """Whether a new connection has to be refused."""
        return len(self.connections) >= self._most

    @property
    def crowded(self) -> bool:
        """Whether partial bodies take too much memory."""
        return self.held > PARTIAL_BYTES

    def lost(self, connection: Connection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    async def sweep(self) -> None:
        """Cuts what takes too long, until cancelled. A timer for each request would cost more than all of this."""
        loop = asyncio.get_running_loop()
        pause = min(1.0, self.read_timeout / 10)
        while True:
            await asyncio.sleep(pause)
            now = loop.time()
            for connection in [one for one in self.connections if one.deadline < now]:
                connection.cut()

    async def drain(self, seconds: float) -> None:
        """Ends idle connections at once and the others after their answer, or after some seconds."""
        self.draining = True
        for connection in list(self.connections):
            connection.finish()
        try:
            async with asyncio.timeout(seconds):
                while self.connections:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            for connection in list(self.connections):
                connection.abort()
