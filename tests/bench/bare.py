"""The bare aiohttp handler that the gateway is measured against: it reads the body and answers 200."""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiohttp import web


async def read(request: web.Request) -> web.Response:
    await request.read()
    return web.Response()


async def main(host: str, port: int) -> None:
    app = web.Application()
    app.router.add_post("/webhooks/stripe", read)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
