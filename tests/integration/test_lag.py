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

from stream.kafka import progress
from stream.kafka.batches import BatchProducer, Record
from stream.kafka.broker import Broker
from stream.kafka.lag import LagWatch, behind
from stream.records import REPLAY
from stream.settings import Kafka
from stream.topics import (
    DEAD_LETTERS,
    NOTICES,
    NOTIFIER_GROUP,
    PROJECTOR_GROUP,
    SALESFORCE_WRITES,
    STRIPE_EVENTS,
    WRITER_GROUP,
)

DEADLINE = 120.0
HERE = TopicPartition(SALESFORCE_WRITES, 1)


@pytest_asyncio.fixture
async def watch(kafka: str) -> AsyncIterator[LagWatch]:
    watch = LagWatch(Kafka(brokers=[kafka]))
    await watch.start()
    yield watch
    await watch.stop()


async def group_at(brokers: str, group: str, tp: TopicPartition, offset: int) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, group_id=group, enable_auto_commit=False)
    consumer.assign([tp])
    await consumer.start()
    await consumer.commit({tp: offset})
    await consumer.stop()


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
    assert await watch.measure(NOTIFIER_GROUP) == {}
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
    age = gauge("consumer_lag_seconds", phase="live", **labels)
    assert age is not None
    assert 0 < age < DEADLINE + time.monotonic() - began
    assert gauge("consumer_lag_seconds", phase="live", **{**labels, "partition": "0"}) == 0
    assert gauge("consumer_lag_seconds", phase="replay", **labels) == 0

    await group.commit({HERE: 3})
    await group.stop()
    async with asyncio.timeout(DEADLINE):
        while gauge("consumer_lag_records", **labels):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert gauge("consumer_lag_seconds", phase="live", **labels) == 0
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_was_read_before_is_a_lag_of_a_replay(topics: str, watch: LagWatch) -> None:
    events, writes = TopicPartition(STRIPE_EVENTS, 0), TopicPartition(SALESFORCE_WRITES, 2)
    await put(topics, *(Record(STRIPE_EVENTS, 0, b"key", b"value") for _ in range(4)))
    await put(
        topics, *progress.records(STRIPE_EVENTS, {0: 1}), *progress.records(STRIPE_EVENTS, {0: 3, 1: 9})
    )
    await put(
        topics, *(Record(SALESFORCE_WRITES, 2, b"key", b"value", marks) for marks in ((), (REPLAY,), ()))
    )
    await put(topics, *progress.records(SALESFORCE_WRITES, {2: 1}))

    async def ages(group: str, tp: TopicPartition, offset: int) -> tuple[bool, bool]:
        await group_at(topics, group, tp, offset)
        await watch._export(group)
        labels = {"group": group, "topic": tp.topic, "partition": str(tp.partition)}
        live, again = (gauge("consumer_lag_seconds", phase=phase, **labels) for phase in ("live", "replay"))
        return bool(live), bool(again)

    assert await ages(PROJECTOR_GROUP, events, 2) == (False, True)
    assert await ages(PROJECTOR_GROUP, events, 3) == (True, False)
    assert await ages(PROJECTOR_GROUP, events, 4) == (False, False)
    assert await ages(WRITER_GROUP, writes, 0) == (False, True)  # was read before, and does not say so
    assert await ages(WRITER_GROUP, writes, 1) == (False, True)
    assert await ages(WRITER_GROUP, writes, 2) == (True, False)
    assert await progress.reached(Kafka(brokers=[topics]), STRIPE_EVENTS) == {0: 3, 1: 9}


async def test_a_notifier_that_is_never_run_is_not_behind(topics: str, watch: LagWatch) -> None:
    told = TopicPartition(NOTICES, 0)
    await put(topics, *(Record(NOTICES, 0, b"key", b"value") for _ in range(2)))
    labels = {"group": NOTIFIER_GROUP, "topic": NOTICES, "partition": "0"}
    await watch._export(NOTIFIER_GROUP)
    assert gauge("consumer_lag_records", **labels) is None
    await group_at(topics, NOTIFIER_GROUP, told, 1)
    await watch._export(NOTIFIER_GROUP)
    assert gauge("consumer_lag_records", **labels) == 1
