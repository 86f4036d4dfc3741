"""The real Kafka that integration tests run on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient

from stream.kafka.broker import Broker
from stream.kafka.client import create_topics
from stream.settings import Kafka

PARTITIONS = 4


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker of this module's own, which a test may stop and start again."""
    broker = Broker(tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def kafka(broker: Broker) -> str:
    """Its address."""
    return broker.address


@pytest_asyncio.fixture
async def topics(kafka: str) -> AsyncIterator[str]:
    """All of Revstream's topics, empty, with PARTITIONS partitions; gives the broker's address."""
    await create_topics(Kafka(brokers=[kafka], partitions=PARTITIONS))
    yield kafka
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    ours = [name for name in await admin.list_topics() if not name.startswith("__")]
    await admin.delete_topics(ours)
    while set(ours) & set(await admin.list_topics()):  # noqa: ASYNC110  the broker deletes in its own time
        await asyncio.sleep(0.02)
    await admin.close()
