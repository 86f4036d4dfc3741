"""What is broken: Kafka, every stage and Salesforce as real processes, each behind proxies of its own."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path

import aiohttp

from stream import stages
from stream.kafka.broker import Broker
from stream.kafka.client import create_topics
from stream.listen import free_address, free_port
from stream.notify import templates
from stream.sandbox.ends import SlackEnd
from stream.sandbox.expected.churn import CAMPAIGN
from stream.sandbox.salesforce import certificate
from stream.sandbox.stripe.api import StripeApiServer
from stream.sandbox.stripe.world import World
from stream.settings import Kafka
from stream.stages import LocalOrg
from stream.supervisor import Child, Supervisor
from tests.chaos.proxy import Proxy

SECRET = "whsec_chaos"
API_KEY = "sk_test_chaos"
PARTITIONS = 4
READY_SECONDS = 180.0

_METRICS = {"notifier": "NOTIFY"}


def proxy_to(target: str) -> Proxy:
    """One that comes back on its port after a cut."""
    return Proxy(target, free_port())


class ProxiedBroker(Broker):
    """An embedded Kafka with a listener for each stage, which is reached through a proxy: so one stage can lose
    Kafka while the others keep it. `address` leads to it directly."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        super().__init__(folder)
        self.listeners = {name: free_address() for name in names}
        self.proxies = {name: proxy_to(at) for name, at in self.listeners.items()}

    async def start_proxies(self) -> None:
        """Before Kafka itself: it has to tell its clients of them."""
        for proxy in self.proxies.values():
            await proxy.start()

    def _configure(self) -> Path:
        properties = super()._configure()
        lines = dict(line.partition("=")[::2] for line in properties.read_text().splitlines())
        own = {name.upper(): at for name, at in self.listeners.items()}
        told = {name.upper(): proxy.address for name, proxy in self.proxies.items()}
        protocols = dict.fromkeys(("PLAINTEXT", "CONTROLLER", *own), "PLAINTEXT")
        lines |= {
            "listeners": ",".join((lines["listeners"], *_addresses(own))),
            "advertised.listeners": ",".join(_addresses({"PLAINTEXT": self.address} | told)),
            "listener.security.protocol.map": ",".join(f"{name}:{it}" for name, it in protocols.items()),
        }
        properties.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        return properties


def _addresses(listeners: Mapping[str, str]) -> list[str]:
    return [f"{name}://{at}" for name, at in listeners.items()]


class Group:
    """The running whole. `http` is for its internal ports and the org's admin calls, which no proxy spoils."""

    def __init__(
        self,
        folder: Path,
        supervisor: Supervisor,
        broker: ProxiedBroker,
        org: LocalOrg,
        proxies: Mapping[str, Proxy],
        environment: Mapping[str, str],
        slack: SlackEnd,
        http: aiohttp.ClientSession,
    ) -> None:
        self.supervisor, self.org, self.slack, self.http = supervisor, org, slack, http
        # By what is cut off: `kafka/<stage>`, `salesforce`, `slack`.
        self.proxies = {f"kafka/{name}": proxy for name, proxy in broker.proxies.items()} | dict(proxies)
        self.kafka = Kafka(brokers=[broker.address], partitions=PARTITIONS)
        self.gateway = environment["GATEWAY_LISTEN"]
        self._folder, self._environment = folder, environment
        self._internal: dict[str, str] = {}
        self._numbers = count(2)

    def start(self, stage: str, name: str | None = None) -> str:
        """Starts a process of a stage, under supervision; gives its name. The first projector keeps its tables in
        RocksDB, those that join later in memory."""
        name = name or f"{stage}-{next(self._numbers)}"
        self._internal[name] = free_address()
        setting = f"{_METRICS.get(stage, stage.upper())}_METRICS_LISTEN"
        own = {
            "KAFKA_BROKERS": self.proxies[f"kafka/{stage}"].address,
            "REVSTREAM_STATE_DIR": str(self._folder / name),
            "PROJECTOR_TABLE_STORE": "rocksdb" if name == "projector" else "memory",
            setting: self._internal[name],
        }
        self.supervisor.start(Child(name, stages.STAGES[stage], (), {**self._environment, **own}))
        return name

    async def stop(self, name: str) -> None:
        """Ends a process that was started by SIGTERM."""
        await self.supervisor.stop([name])
        del self._internal[name]

    def pid(self, name: str) -> int | None:
        """The process of that name (a stage, `kafka`, `salesforce`), if it is there now."""
        found: dict[str, int] = json.loads((self._folder / "processes.json").read_text())
        pid = found.get(name)
        if pid is not None:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return None
        return pid

    async def ready(self, *names: str) -> None:
        """Waits until these processes (all of them by default) answer that they are ready. Raises TimeoutError."""
        for name in names or tuple(self._internal):
            await self.answers(f"http://{self._internal[name]}/readyz", name)

    async def answers(self, url: str, name: str) -> None:
        """Waits until a GET of the address gives 200. Raises TimeoutError that says who does not answer."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not await stages.answers(self.http, url):  # noqa: ASYNC110  another process
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise TimeoutError(f"The {name} is not ready after {READY_SECONDS:.0f} s.") from None


@asynccontextmanager
async def running(folder: Path, world: World) -> AsyncIterator[Group]:
    """All of it, ready; `world` is what Stripe's API tells of. Raises BrokerError, TimeoutError."""
    async with AsyncExitStack() as stack:
        slack = await stack.enter_async_context(SlackEnd())
        stripe = await stack.enter_async_context(StripeApiServer(world, key=API_KEY))
        certificate.ensure(folder / "org")
        org = LocalOrg(f"http://{free_address()}", f"https://{free_address()}", folder / "org")
        _, _, path = slack.url.removeprefix("http://").partition("/")
        proxies = {
            "salesforce": proxy_to(org.https_url.removeprefix("https://")),
            "slack": proxy_to(slack.url.removeprefix("http://").partition("/")[0]),
        }
        for proxy in proxies.values():
            await proxy.start()
            stack.push_async_callback(proxy.stop)
        broker = ProxiedBroker(folder / "kafka", tuple(stages.STAGES))
        await broker.start_proxies()
        for proxy in broker.proxies.values():
            stack.push_async_callback(proxy.stop)
        environment = {
            **org.environment,
            "SALESFORCE_LOGIN_URL": f"https://{proxies['salesforce'].address}",
            "SALESFORCE_TIMEOUT_SECONDS": "10",
            "STRIPE_WEBHOOK_SECRETS": SECRET,
            "STRIPE_API_KEY": API_KEY,
            "STRIPE_API_BASE": stripe.url,
            "CHURN_CAMPAIGN": CAMPAIGN,
            "KAFKA_PARTITIONS": str(PARTITIONS),
            "KAFKA_SESSION_TIMEOUT_SECONDS": "6",
            "GATEWAY_LISTEN": free_address(),
            # Each notice by itself, whatever its age, named by its ID: so each can be counted where it arrives.
            "NOTIFY_SLACK_WEBHOOK_URL": f"http://{proxies['slack'].address}/{path}",
            "NOTIFY_CHATTER": "true",
            "NOTIFY_TEMPLATES": str(_templates(folder / "templates")),
            "NOTIFY_OLDEST_HOURS": "100000",
            "NOTIFY_PER_MINUTE": "100000",
            "REVSTREAM_LOG_LEVEL": "WARNING",
        }
        supervisor = Supervisor(folder)
        stack.push_async_callback(supervisor.stop)
        http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)))
        await supervisor.start_kafka(broker)
        group = Group(folder, supervisor, broker, org, proxies, environment, slack, http)
        await create_topics(group.kafka)
        supervisor.start(org.child)
        await group.answers(f"{org.url}/sandbox/state", "salesforce")
        for stage in stages.STAGES:
            group.start(stage, stage)
        await group.ready()
        yield group


def _templates(folder: Path) -> Path:
    """Every notice as `#<its ID>#`."""
    folder.mkdir(parents=True)
    for ours in templates.OURS.glob("*.text.j2"):
        if not ours.name.startswith(templates.DIGEST):
            (folder / ours.name).write_text("#{{ id }}#")
    return folder
