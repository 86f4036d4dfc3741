"""The real Kafka that integration tests run on."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from pydantic import SecretStr

from stream.kafka.broker import Broker
from stream.kafka.client import create_topics
from stream.kafka.lag import GROUPS
from stream.salesforce.client import Client
from stream.salesforce.describe import Describer
from stream.salesforce.session import Session
from stream.sandbox.salesforce import LocalSalesforce
from stream.settings import Kafka, Salesforce

PARTITIONS = 4
DEADLINE = 120.0


@pytest.fixture(scope="session")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The broker of all tests of this process: to start one takes 7 s of CPU."""
    broker = Broker(tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(autouse=True)
def left_by_aiokafka(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collects sockets of Kafka clients that were stopped while they connected: else a later test, which has
    nothing to do with them, is warned of. This ends after the test's event loop, which knows them until then."""
    yield
    if "broker" in request.fixturenames:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@pytest_asyncio.fixture
async def broker(shared_broker: Broker) -> AsyncIterator[Broker]:
    """A broker that answers and has no topics; the test may stop it, and start it again."""
    await answered(shared_broker.address)
    yield shared_broker
    if shared_broker.pid is None:
        shared_broker.start()
    await delete_topics(shared_broker.address)


@pytest.fixture
def kafka(broker: Broker) -> str:
    """Its address."""
    return broker.address


@pytest_asyncio.fixture
async def topics(kafka: str) -> str:
    """All of Revstream's topics, empty, with PARTITIONS partitions; gives the broker's address."""
    await create_topics(Kafka(brokers=[kafka], partitions=PARTITIONS))
    return kafka


async def answered(brokers: str) -> None:
    """Waits until Kafka answers about our groups: the first to ask has it make a topic, and is put off."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        async with asyncio.timeout(DEADLINE):
            for group in GROUPS:
                while True:
                    try:
                        await admin.list_consumer_group_offsets(group)
                        break
                    except KafkaError as error:
                        if not error.retriable:
                            raise
                        await asyncio.sleep(0.02)
    finally:
        await admin.close()


async def delete_topics(brokers: str) -> None:
    """Deletes every topic, and with it what groups have committed there; Kafka's own stay."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        while ours := [name for name in await admin.list_topics() if not name.startswith("__")]:
            await admin.delete_topics(ours)
            await asyncio.sleep(0.02)
    finally:
        await admin.close()


@pytest_asyncio.fixture
async def sandbox() -> AsyncIterator[LocalSalesforce]:
    """An empty local Salesforce."""
    async with LocalSalesforce() as salesforce:
        yield salesforce


@pytest_asyncio.fixture
async def port(sandbox: LocalSalesforce) -> AsyncIterator[Client]:
    """The real client, logged in there."""
    login = Salesforce(
        login_url=sandbox.url, client_id="sandbox", client_secret=SecretStr("sandbox"), timeout_seconds=10
    )
    async with Session(login) as session:
        yield Client(session, Describer(login, session))
