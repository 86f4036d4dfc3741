"""The stages, and running them together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec

from stream.kafka.broker import Broker
from stream.kafka.client import create_topics
from stream.listen import free_address
from stream.sandbox.salesforce import certificate
from stream.settings import Kafka, Settings
from stream.supervisor import Child, Supervisor

# The projector knows what events mean, so it is no part of `stream`: it is named here, and not imported.
GATEWAY = "stream.gateway"
PROJECTOR = "agents"
WRITER = "stream.salesforce"
NOTIFIER = "stream.notify"
SALESFORCE = "stream.sandbox.salesforce"
# In the order of the way through.
STAGES = {"gateway": GATEWAY, "projector": PROJECTOR, "writer": WRITER, "notifier": NOTIFIER}

READY_SECONDS = 60.0


class Addresses(msgspec.Struct, frozen=True):
    """Where a running group can be looked at; all are `host:port`."""

    gateway: str
    gateway_metrics: str
    projector_metrics: str
    writer_metrics: str
    notifier_metrics: str
    kafka: str

    @property
    def internal(self) -> dict[str, str]:
        """The internal address of each stage."""
        return {
            "gateway": self.gateway_metrics,
            "projector": self.projector_metrics,
            "writer": self.writer_metrics,
            "notifier": self.notifier_metrics,
        }


@asynccontextmanager
async def together(
    settings: Settings, environment: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Supervisor, Addresses]]:
    """All stages in one supervised group, on the embedded Kafka unless the settings name a cluster.

    `environment` are settings for the stages, over those of this process. Leaving the block ends the stages in
    the order of the way through, and Kafka last. Raises BrokerError, SettingError.
    """
    own = dict(environment or {})
    supervisor = Supervisor(settings.revstream.state_dir)
    try:
        kafka = settings.kafka
        if not kafka.brokers:
            broker = Broker(settings.revstream.state_dir / "kafka")
            await supervisor.start_kafka(broker)
            own["KAFKA_BROKERS"] = broker.address
            kafka = Kafka(**{**kafka.model_dump(), "brokers": [broker.address]})
        await create_topics(kafka)
        for name, module in STAGES.items():
            supervisor.start(Child(name, module, (), own))
        yield (
            supervisor,
            Addresses(
                gateway=own.get("GATEWAY_LISTEN", settings.gateway.listen),
                gateway_metrics=own.get("GATEWAY_METRICS_LISTEN", settings.gateway.metrics_listen),
                projector_metrics=own.get("PROJECTOR_METRICS_LISTEN", settings.projector.metrics_listen),
                writer_metrics=own.get("WRITER_METRICS_LISTEN", settings.writer.metrics_listen),
                notifier_metrics=own.get("NOTIFY_METRICS_LISTEN", settings.notify.metrics_listen),
                kafka=kafka.brokers[0],
            ),
        )
    finally:
        await supervisor.stop()


async def await_ready(addresses: Mapping[str, str], supervisor: Supervisor) -> None:
    """Waits until every stage answers 200 on `/readyz` of its internal address.

    Raises TimeoutError that names those which do not, and ChildError when a setting is wrong.
    """
    waiting = dict(addresses)
    deadline = time.monotonic() + READY_SECONDS
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as client:
        while waiting:
            if supervisor.failed.done():
                supervisor.failed.result()
            if time.monotonic() > deadline:
                raise TimeoutError(f"Not ready after {READY_SECONDS:.0f} s: {', '.join(waiting)}.")
            for name, address in list(waiting.items()):
                if await answers(client, f"http://{address}/readyz"):
                    del waiting[name]
            await asyncio.sleep(0.1)


async def answers(client: aiohttp.ClientSession, url: str) -> bool:
    """Whether a GET of the address gives 200 right now."""
    try:
        async with client.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


class LocalOrg(msgspec.Struct, frozen=True):
    """The sandbox's Salesforce: its addresses, and the settings that point the writer at it."""

    url: str
    https_url: str
    state: Path

    @property
    def child(self) -> Child:
        """It as a supervised process. Its certificate is made under `state`."""
        ports = (self.url.rpartition(":")[2], self.https_url.rpartition(":")[2])
        return Child(
            "salesforce",
            SALESFORCE,
            ("--port", ports[0], "--https-port", ports[1], "--state", str(self.state)),
        )

    @property
    def environment(self) -> dict[str, str]:
        """Settings of a writer that uses it."""
        return {
            "SALESFORCE_LOGIN_URL": self.https_url,
            "SALESFORCE_CLIENT_ID": "sandbox",
            "SALESFORCE_CLIENT_SECRET": "sandbox",
            "SALESFORCE_CA_FILE": str(self.state / "ca.pem"),
        }


def local_org(state: Path) -> LocalOrg:
    """A local Salesforce on two free ports, with its records under `state`.

    Its certificate is made here: the writer is pointed at it, and may be up before the org is.
    """
    certificate.ensure(state)
    return LocalOrg(f"http://{free_address()}", f"https://{free_address()}", state)
