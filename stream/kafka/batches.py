"""Sending many records at once: one explicit batch per partition, awaited together.

A `send` for each record costs aiokafka a future, a lock and a copy per record; a batch built by hand costs
one of each per partition. Seen side by side: 22,000 records/s against 9,000/s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner

from stream.topics import MAX_RECORD_BYTES

# Of one batch, before compression. Kafka refuses a compressed batch over the topic's max.message.bytes.
BATCH_BYTES = 1024 * 1024
# Handed to the projector at once.
MAX_CHUNK_RECORDS = 2000


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record to send. `timestamp` is epoch milliseconds; None takes the time of sending."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int | None = None


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Java's producer, and so the gateway, would choose (murmur2)."""
    every = range(partitions)
    return int(DefaultPartitioner()(key, every, every))


class BatchProducer:
    """An idempotent producer (`acks=all`) that sends a set of records and returns once all are durable."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = {
            "acks": "all",
            "enable_idempotence": True,
            "compression_type": "snappy",  # aiokafka packs lz4 at level 9: ten times the time
            "max_batch_size": BATCH_BYTES,
            "max_request_size": 2 * MAX_RECORD_BYTES,
            "request_timeout_ms": 30_000,
            **options,
        }
        self._producer: Any = None

    async def start(self) -> None:
        """Connects. Raises KafkaConnectionError when no broker answers."""
        self._producer = AIOKafkaProducer(**self._options)
        await self._producer.start()

    async def stop(self) -> None:
        """Flushes and disconnects."""
        if self._producer is not None:
            await self._producer.stop()

    async def send(self, records: Iterable[Record]) -> dict[tuple[str, int], int]:
        """Sends all records, in order within a partition, and waits for Kafka's ack of every one.

        Returns the offset of the last record of each topic and partition. Raises KafkaError when any was not
        acknowledged; some of them may be in Kafka all the same.
        """
        acks = [await self._send_batch(*place, batch) for place, batch in self._batches(records)]
        last: dict[tuple[str, int], int] = {}
        # Every future is waited for, so that a failure of two batches leaves no unread exception behind.
        for ack, count in zip(
            await asyncio.gather(*(ack for ack, _ in acks), return_exceptions=True),
            (count for _, count in acks),
            strict=True,
        ):
            if isinstance(ack, BaseException):
                raise ack
            last[ack.topic, ack.partition] = ack.offset + count - 1
        return last

    def _batches(self, records: Iterable[Record]) -> list[tuple[tuple[str, int], Any]]:
        """Records as full batches, in sending order."""
        now = int(time.time() * 1000)
        done: list[tuple[tuple[str, int], Any]] = []
        open_: dict[tuple[str, int], Any] = {}
        create = self._producer.create_batch
        for record in records:
            place = (record.topic, record.partition)
            batch = open_.get(place)
            if batch is None:
                batch = open_[place] = create()
            timestamp = record.timestamp or now
            headers = list(record.headers)
            if batch.append(key=record.key, value=record.value, timestamp=timestamp, headers=headers) is None:
                done.append((place, batch))
                batch = open_[place] = create()  # an empty batch takes its first record whatever its size
                batch.append(key=record.key, value=record.value, timestamp=timestamp, headers=headers)
        return [*done, *open_.items()]

    async def _send_batch(self, topic: str, partition: int, batch: Any) -> tuple[Any, int]:
        return await self._producer.send_batch(batch, topic, partition=partition), batch.record_count()
