"""What a cluster with another partition count has to begin with: every customer's records, in order, in the
partition where the new count puts the customer.

What is in flight is not taken along (writes, results, notices): the old cluster has to have done it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from stream import topics
from stream.kafka import progress
from stream.kafka.batches import MAX_CHUNK_RECORDS, BatchProducer, Record, partition_of
from stream.kafka.client import options
from stream.kafka.offsets import Offsets
from stream.kafka.plan import Move
from stream.kafka.scan import ranges, scan
from stream.settings import Kafka

# By the customer, as the gateway and Faust's tables have it; a mark by its own key, since only marks of one key
# have an order among them.
KEYED = (topics.STRIPE_EVENTS, *map(topics.changelog, topics.TABLES), topics.NOTICES_SENT)


async def filled(kafka: Kafka) -> list[str]:
    """Of the topics that are copied, those that hold something. Raises KafkaError, OffsetsError."""
    found = []
    for topic in (*KEYED, topics.STRIPE_CATALOGUE):
        if any(first < end for first, end in (await ranges(kafka, topic)).values()):
            found.append(topic)
    return found


async def copy(old: Kafka, new: Kafka, told: Callable[[str, int], None]) -> None:
    """Copies everything; `told` is called with each topic and how many records it now has. The projector's group
    then stands at the end of what was copied, which all counts as read before. Raises KafkaError, OffsetsError."""
    producer = BatchProducer(options(new))
    try:
        await producer.start()
        for topic in KEYED:
            told(topic, await _copy(old, producer, topic, lambda record: [_place(record, new.partitions)]))
        # Every partition holds the whole catalogue, so one is read.
        catalogue = {0: (await ranges(old, topics.STRIPE_CATALOGUE))[0]}
        everywhere = range(new.partitions)
        count = await _copy(old, producer, topics.STRIPE_CATALOGUE, lambda _: everywhere, catalogue)
        told(topics.STRIPE_CATALOGUE, count)
        ends = {
            topic: {partition: end for partition, (_, end) in (await ranges(new, topic)).items()}
            for topic in (topics.STRIPE_EVENTS, topics.STRIPE_CATALOGUE)
        }
        await producer.send(progress.records(topics.STRIPE_EVENTS, ends[topics.STRIPE_EVENTS]))
    finally:
        await producer.stop()
    async with Offsets(new) as cluster:
        await cluster.move(
            topics.PROJECTOR_GROUP,
            [
                Move(topic, partition, 0, end, None, end)
                for topic, of in ends.items()
                for partition, end in of.items()
            ],
        )


def _place(record: Any, partitions: int) -> int:
    return partition_of(record.key, partitions) if record.key is not None else record.partition % partitions


async def _copy(
    old: Kafka,
    producer: BatchProducer,
    topic: str,
    places: Callable[[Any], Iterable[int]],
    wanted: Mapping[int, tuple[int, int]] | None = None,
) -> int:
    count = 0
    batch: list[Record] = []
    async for record in scan(old, topic, wanted or await ranges(old, topic)):
        headers = tuple(record.headers)
        for partition in places(record):
            batch.append(
                Record(topic, partition, record.key, record.value, headers, timestamp=record.timestamp)
            )
        if len(batch) >= MAX_CHUNK_RECORDS:
            count += len(batch)
            await producer.send(batch)
            batch.clear()
    await producer.send(batch)
    return count + len(batch)
