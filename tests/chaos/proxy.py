"""A TCP proxy on loopback that spoils connections: slow, thin, reset, silent, half closed, or none at all."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Literal

import msgspec

Ill = Literal["healthy", "slow", "thin", "resetting", "silent", "half-closed", "cut"]

READ_BYTES = 16 * 1024
# `thin` lets so much through in a second, each way: a Kafka fetch of 1 MB takes half a minute.
THIN_BYTES = 32 * 1024
# `resetting` ends a connection after so much, in the middle of a request or an answer.
RESET_BYTES = 3000
SLOW_SECONDS = 0.3


class _Link(msgspec.Struct, eq=False):
    """One connection: the client's side and the server's."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    passed: int = 0

    def reset(self) -> None:
        """Ends both sides with RST, so that neither gets what is under way."""
        for side in (self.client, self.server):
            if (sock := side.get_extra_info("socket")) is not None and sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            side.transport.abort()


class Proxy:
    """Passes every connection to `target` (`host:port`) on; `ill` says what is wrong, from now on and with all.
    It listens on `port`, or on any free one.

    - `slow`: everything comes SLOW_SECONDS later
    - `thin`: THIN_BYTES a second
    - `resetting`: each connection is reset once RESET_BYTES have passed
    - `silent`: nothing passes, and nobody is told (a black hole)
    - `half-closed`: the server's side says that it is done, and goes on taking
    - `cut`: connections are reset, and new ones refused
    """

    def __init__(self, target: str, port: int = 0) -> None:
        host, _, far = target.rpartition(":")
        self._target = (host, int(far))
        self._server: asyncio.Server | None = None
        self._port = port
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._healed = asyncio.Event()
        self._healed.set()
        self.ill: Ill = "healthy"

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Listens; after a cut on the same port."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self._port, limit=READ_BYTES, reuse_address=True
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Resets what is open and stops listening."""
        self._close()
        self._reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def sicken(self, ill: Ill) -> None:
        """From now on this is wrong; `healthy` ends it."""
        was, self.ill = self.ill, ill
        if ill == "healthy":
            self._healed.set()
            if was == "cut":
                await self.start()
            elif was in ("silent", "half-closed"):
                self._reset()  # as a real line would be, whose peers have long given up
            return
        self._healed.clear()
        if ill == "cut":
            self._close()
            self._reset()
        elif ill == "half-closed":
            for link in list(self._links):
                self._end(link.client)

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _reset(self) -> None:
        for link in list(self._links):
            link.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target, limit=READ_BYTES)
        except OSError:  # the server is down: its kernel would refuse
            writer.transport.abort()
            return
        link = _Link(writer, far_writer)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(link, reader, far_writer))
                both.create_task(self._pump(link, far_reader, writer))
        except* OSError:
            link.reset()
        finally:
            self._links.discard(link)
            writer.close()
            far_writer.close()

    async def _pump(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(READ_BYTES):
            match self.ill:
                case "slow":
                    await asyncio.sleep(SLOW_SECONDS)
                case "thin":
                    await asyncio.sleep(len(data) / THIN_BYTES)
                case "silent":
                    await self._healed.wait()
                case "half-closed" if writer is link.client:
                    self._end(writer)
                    continue
                case "resetting":
                    link.passed += len(data)
                    if link.passed > RESET_BYTES:
                        writer.write(data[: len(data) // 2])
                        link.reset()
                        return
            if writer.is_closing():
                return
            writer.write(data)
            await writer.drain()
        self._end(writer)

    @staticmethod
    def _end(writer: asyncio.StreamWriter) -> None:
        """Says that no more will come this way."""
        if not writer.is_closing() and writer.can_write_eof():
            try:
                writer.write_eof()
            except OSError:
                writer.transport.abort()
