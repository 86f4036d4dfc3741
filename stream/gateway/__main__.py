"""The gateway stage: `python -m stream.gateway`."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import sys

from stream.gateway.kafkalog import KafkaLog
from stream.gateway.processes import together
from stream.gateway.server import Server
from stream.gateway.webhook import PATH, Webhooks
from stream.internal import InternalServer
from stream.kafka.client import options
from stream.listen import BACKLOG, address, bind
from stream.settings import Settings, missing
from stream.stage import main
from stream.stripe.signature import Keys
from stream.topics import STRIPE_EVENTS

log = logging.getLogger("stream.gateway")

# Under the time that the supervisor gives a stage to stop, together with the wait for the last acks.
DRAIN_SECONDS = 8.0


async def gateway(settings: Settings, stop: asyncio.Event) -> None:
    """Takes webhooks until told to stop. Raises SettingError."""
    keys = _keys(settings)
    if settings.gateway.processes > 1:
        await together(settings, stop)
    else:
        await _serve(settings, keys, stop)


async def _serve(settings: Settings, keys: Keys, stop: asyncio.Event) -> None:
    of = settings.gateway
    _raise_file_limit()
    kafka = KafkaLog(
        options(settings.kafka), STRIPE_EVENTS, timeout=of.produce_timeout_seconds, most=of.max_in_flight
    )
    internal = InternalServer(of.metrics_listen, ("gateway", "metrics_listen"), kafka.trouble)
    public = bind(of.listen, ("gateway", "listen"), shared=True)
    server = Server(
        Webhooks(keys, kafka),
        read_timeout=of.read_timeout_seconds,
        most=of.max_connections,
        max_body=of.max_body_bytes,
    )
    kafka.start()
    await internal.start()
    listener = await asyncio.get_running_loop().create_server(server, sock=public, backlog=BACKLOG)
    sweeper = asyncio.create_task(server.sweep())
    _collect_garbage_rarely()
    log.info("Listening on http://%s%s (internal http://%s).", address(public), PATH, internal.address)
    try:
        await stop.wait()
    finally:
        listener.close()
        log.info("Stopping; what is under way is finished.")
        await server.drain(DRAIN_SECONDS)
        sweeper.cancel()
        await kafka.stop()
        await internal.stop()


def _keys(settings: Settings) -> Keys:
    secrets = [secret.get_secret_value() for secret in settings.stripe.webhook_secrets]
    try:
        return Keys(secrets, settings.stripe.tolerance_seconds)
    except ValueError as error:
        raise missing("stripe", "webhook_secrets", str(error)) from None


def _raise_file_limit() -> None:
    """Every connection is an open file, and shells give 1,024 of them. What the system allows is taken."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _collect_garbage_rarely() -> None:
    """What is loaded by now stays, and a request leaves few cycles: looking for them after every 700 new
    objects, as Python does by itself, took a tenth of the time with 256 connections."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


if __name__ == "__main__":
    sys.exit(main(gateway))
