"""Kafka topics from the outside: filling them, watching their ends, reading them whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.partitioner import murmur2

from stream.kafka.batches import BatchProducer, Record
from stream.topics import Topic

# The broker's clock stamps what comes out, so that one clock times all that is compared.
STAMPED = {"message.timestamp.type": "LogAppendTime"}
SEND_RECORDS = 2000
DEADLINE_SECONDS = 180.0


def stamped(name: str) -> Topic:
    """A topic whose records carry the time at which the broker got them."""
    return Topic(name, STAMPED)


def place(key: bytes, partitions: int) -> int:
    """The partition that every Kafka client but librdkafka gives a key by default."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


async def fill(brokers: str, records: Iterable[Record]) -> None:
    """Sends all records, and returns once they are durable."""
    producer = BatchProducer({"bootstrap_servers": brokers})
    await producer.start()
    waiting: list[Record] = []
    for record in records:
        waiting.append(record)
        if len(waiting) == SEND_RECORDS:
            await producer.send(waiting)
            waiting = []
    await producer.send(waiting)
    await producer.stop()


class Reader:
    """One topic, from its beginning or its end, without a group."""

    def __init__(self, brokers: str, topic: str, partitions: int) -> None:
        self._places = [TopicPartition(topic, number) for number in range(partitions)]
        self._consumer: Any = AIOKafkaConsumer(
            bootstrap_servers=brokers, auto_offset_reset="earliest", max_partition_fetch_bytes=4 * 1024 * 1024
        )

    async def __aenter__(self) -> Reader:
        await self._consumer.start()
        self._consumer.assign(self._places)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def ends(self) -> int:
        """How many records the topic has had."""
        return sum((await self._consumer.end_offsets(self._places)).values())

    async def seek_to_end(self) -> None:
        """Skips what is there."""
        for place, offset in (await self._consumer.end_offsets(self._places)).items():
            self._consumer.seek(place, offset)

    async def more(self) -> list[Any]:
        """What has come since."""
        fetched = await self._consumer.getmany(timeout_ms=50)
        return [record for records in fetched.values() for record in records]

    async def whole(self) -> list[Any]:
        """Everything up to the present end, in order within each partition. Raises TimeoutError."""
        ends = await self._consumer.end_offsets(self._places)
        found: list[Any] = []
        async with asyncio.timeout(DEADLINE_SECONDS):
            while any([await self._consumer.position(place) < end for place, end in ends.items()]):
                found += await self.more()
        return found


async def until(reached: Callable[[], Awaitable[bool]], check: Callable[[], None], what: str) -> None:
    """Waits for a condition; `check` raises when there is no use in waiting. Raises TimeoutError that says what."""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await reached():
                check()
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise TimeoutError(f"Not within {DEADLINE_SECONDS:.0f} s: {what}.") from None
