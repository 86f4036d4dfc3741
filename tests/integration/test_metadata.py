"""What a Kafka client knows of topics, when asking for it has failed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from stream.kafka.client import options
from stream.settings import Kafka
from stream.topics import STRIPE_EVENTS
from tests.integration.conftest import PARTITIONS

pytestmark = pytest.mark.integration


async def test_who_joins_a_group_knowing_no_topics_gets_its_partitions_soon(topics: str) -> None:
    """aiokafka assigns what it knows of, so nothing here, and asks again only once its knowledge is old."""
    consumer: Any = AIOKafkaConsumer(**options(Kafka(brokers=[topics])), group_id="newcomer")
    await consumer.start()
    ask, asked = consumer._client._metadata_update, []

    async def fail_once(cluster: Any, wanted: Any) -> bool:
        asked.append(wanted)
        return False if len(asked) == 1 else bool(await ask(cluster, wanted))

    consumer._client._metadata_update = fail_once
    try:
        consumer.subscribe([STRIPE_EVENTS])
        async with asyncio.timeout(60):
            while len(consumer.assignment()) < PARTITIONS:
                await consumer.getmany(timeout_ms=200)
    finally:
        await consumer.stop()
    assert asked[0] == {STRIPE_EVENTS}
