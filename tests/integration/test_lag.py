"""The lag, measured from outside of the group."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import REGISTRY

from stream.kafka.batches import BatchProducer, Record
from stream.kafka.broker import Broker
from stream.kafka.lag import LagWatch, behind
from stream.settings import Kafka
from stream.topics import DEAD_LETTERS, SALESFORCE_WRITES, WRITER_GROUP

DEADLINE = 120.0
HERE = TopicPartition(SALESFORCE_WRITES, 1)


@pytest_asyncio.fixture
async def watch(kafka: str) -> AsyncIterator[LagWatch]:
    watch = LagWatch(Kafka(brokers=[kafka]))
    await watch.start()
    yield watch
    await watch.stop()


async def put(brokers: str, *records: Record) -> None:
    producer = BatchProducer({"bootstrap_servers": brokers})
    await producer.start()
    await producer.send(list(records))
    await producer.stop()


async def measured(watch: LagWatch) -> tuple[int, int]:
    """The lag here. Kafka makes its own topic of offsets at the first question about a group."""
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                return (await watch.measure(WRITER_GROUP))[HERE]
            except KafkaError as error:
                if not error.retriable:
                    raise
                await asyncio.sleep(0.02)


def gauge(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"revstream_{name}", labels)


@pytest.mark.parametrize(
    ("committed", "start", "end", "expected"),
    [(-1, 0, 5, 5), (2, 0, 5, 3), (5, 0, 5, 0), (2, 4, 5, 1), (-1, 4, 4, 0), (9, 0, 5, 0)],
)
def test_what_retention_took_is_not_behind(committed: int, start: int, end: int, expected: int) -> None:
    assert behind(committed, start, end) == expected


async def test_a_cluster_without_topics_has_no_lag(broker: Broker, watch: LagWatch) -> None:
    assert await watch.measure(WRITER_GROUP) == {}
    assert await watch.kept(DEAD_LETTERS) == 0


async def test_the_lag_is_that_of_the_first_record_not_committed(topics: str, watch: LagWatch) -> None:
    await put(topics, *(Record(SALESFORCE_WRITES, 1, b"key", b"value") for _ in range(3)))
    await put(topics, *(Record(DEAD_LETTERS, n, b"key", b"value") for n in (0, 0, 2)))
    assert await measured(watch) == (3, 0)
    group = AIOKafkaConsumer(bootstrap_servers=topics, group_id=WRITER_GROUP, enable_auto_commit=False)
    group.assign([HERE])
    await group.start()
    await group.commit({HERE: 1})
    assert await measured(watch) == (2, 1)

    labels = {"group": WRITER_GROUP, "topic": SALESFORCE_WRITES, "partition": "1"}
    began = time.monotonic()
    running = asyncio.create_task(watch.run())
    async with asyncio.timeout(DEADLINE):
        while gauge("dead_letter_records") != 3:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert gauge("consumer_lag_records", **labels) == 2
    age = gauge("consumer_lag_seconds", **labels)
    assert age is not None
    assert 0 < age < DEADLINE + time.monotonic() - began
    assert gauge("consumer_lag_seconds", **{**labels, "partition": "0"}) == 0

    await group.commit({HERE: 3})
    await group.stop()
    async with asyncio.timeout(DEADLINE):
        while gauge("consumer_lag_records", **labels):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert gauge("consumer_lag_seconds", **labels) == 0
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
