"""The internal HTTP port of a stage: `/livez`, `/readyz` and `/metrics`. One per process, never public."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import version

from aiohttp import web
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from stream import metrics
from stream.listen import BACKLOG, address, bind


class InternalServer:
    """Serves a stage's health and metrics.

    `trouble` says in a sentence why the stage cannot work just now, or None when it can. `/livez` answers
    whenever the event loop turns; `/readyz` answers 503 with that sentence, or 200
    with `note` where a person should know something all the same; `/metrics` is Prometheus' text
    format, or OpenMetrics when it is asked for.
    """

    def __init__(
        self,
        listen: str,
        setting: tuple[str, str],
        trouble: Callable[[], str | None],
        note: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._trouble = trouble
        self._note = note
        self._socket = bind(listen, setting)
        self.address = address(self._socket)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Starts to serve."""
        metrics.BUILD.info({"version": version("revstream"), "python": platform.python_version()})
        app = web.Application()
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=75, shutdown_timeout=1)
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket, backlog=BACKLOG).start()

    async def stop(self) -> None:
        """Stops to serve, and gives the address back."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._socket.close()

    async def _livez(self, request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        trouble = self._trouble()
        return web.Response(text=f"{trouble or self._note() or 'ready'}\n", status=503 if trouble else 200)

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(REGISTRY), headers={"Content-Type": content_type})
