"""A gateway as one would first write it: an aiohttp handler that keeps each body with a send of its own.

It believes everything, reads nothing, and names no key, so that one customer's events stand in no order.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiohttp import web
from aiokafka import AIOKafkaProducer

from stream.topics import STRIPE_EVENTS


async def main(host: str, port: int, brokers: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=brokers, acks="all", enable_idempotence=True)
    await producer.start()

    async def keep(request: web.Request) -> web.Response:
        await producer.send_and_wait(STRIPE_EVENTS, await request.read())
        return web.Response()

    app = web.Application()
    app.router.add_post("/webhooks/stripe", keep)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
