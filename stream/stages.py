"""The stages, and running them together."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from rich.console import Console

from stream.kafka.broker import Broker
from stream.kafka.client import create_topics
from stream.settings import Settings
from stream.supervisor import Child, Supervisor

log = logging.getLogger(__name__)

# The projector knows what events mean, so it is not in `stream`; it is named here, not imported.
MODULES = {"gateway": "stream.gateway", "projector": "agents", "writer": "stream.salesforce"}
SANDBOX = "stream.sandbox.salesforce"

READY_SECONDS = 60.0


def free_listen() -> str:
    """A loopback address that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@asynccontextmanager
async def running(
    settings: Settings, environment: Mapping[str, str]
) -> AsyncIterator[tuple[Supervisor, dict[str, str]]]:
    """All stages, on the embedded Kafka unless the settings name a cluster.

    Gives the supervisor and the environment that the stages run in. Leaving ends them all.
    """
    supervisor = Supervisor(settings.revstream.state_dir)
    try:
        own = dict(environment)
        if not settings.kafka.brokers:
            broker = Broker(settings.revstream.state_dir / "kafka")
            await supervisor.start_kafka(broker)
            own["KAFKA_BROKERS"] = broker.address
            settings = settings.model_copy(
                update={"kafka": settings.kafka.model_copy(update={"brokers": [broker.address]})}
            )
        await create_topics(settings.kafka)
        for name, module in MODULES.items():
            supervisor.start(Child(name, module, (), own))
        yield supervisor, own
    finally:
        await supervisor.stop()


async def await_ready(addresses: Mapping[str, str], supervisor: Supervisor) -> None:
    """Waits until every stage answers on `/readyz` of its internal address.

    Raises TimeoutError that names those which do not, or ChildError for a setting that is wrong.
    """
    waiting = dict(addresses)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as client:
        deadline = asyncio.get_running_loop().time() + READY_SECONDS
        while waiting:
            if supervisor.failed.done():
                supervisor.failed.result()
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"Not ready after {READY_SECONDS:.0f} s: {', '.join(waiting)}.")
            for name, address in list(waiting.items()):
                if await _is_ready(client, address):
                    del waiting[name]
            await asyncio.sleep(0.1)


async def _is_ready(client: aiohttp.ClientSession, address: str) -> bool:
    try:
        async with client.get(f"http://{address}/readyz") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


@asynccontextmanager
async def local_salesforce(state: Path) -> AsyncIterator[dict[str, str]]:
    """The sandbox's Salesforce as a process of its own; gives the settings that point at it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", SANDBOX, "--port", "0", "--state", str(state), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None  # noqa: S101
        told = json.loads(await process.stdout.readline())
        yield told
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


console = Console(stderr=True)
