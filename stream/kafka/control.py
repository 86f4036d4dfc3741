"""`revstream.control` as a stage reads it, and as a command writes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.control import Order, Orders, encode
from stream.kafka.batches import BatchProducer, Record
from stream.kafka.client import options
from stream.kafka.connections import poll
from stream.settings import Kafka
from stream.topics import CONTROL

log = logging.getLogger(__name__)

POLL_MS = 500


class ControlReader:
    """The orders that hold, from the topic's beginning. `async with` reads all that are there."""

    def __init__(self, kafka: Kafka) -> None:
        self.orders = Orders()
        self.changed = asyncio.Event()
        self._consumer: Any = AIOKafkaConsumer(**options(kafka), enable_auto_commit=False)
        self._tp = TopicPartition(CONTROL, 0)

    async def __aenter__(self) -> Self:
        """Raises KafkaError when Kafka does not answer."""
        try:
            await self._consumer.start()
            self._consumer.assign([self._tp])
            await self._consumer.seek_to_beginning(self._tp)
            end = (await self._consumer.end_offsets([self._tp]))[self._tp]
            while await self._consumer.position(self._tp) < end:
                await self._poll()
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def run(self) -> None:
        """Follows until cancelled; sets `changed` whenever an order came or went."""
        while True:
            await self._poll()

    async def _poll(self) -> None:
        for records in (await poll(self._consumer, POLL_MS)).values():
            for record in records:
                if not self.orders.read(record.key, record.value):
                    log.warning(
                        "The record at offset %d of %s cannot be read and is left out.",
                        record.offset,
                        CONTROL,
                    )
            self.changed.set()


async def give(kafka: Kafka, orders: Iterable[Order] = (), take_back: Iterable[str] = ()) -> None:
    """Writes orders, and takes those of some keys back. Returns when they are durable. Raises KafkaError."""
    records = [Record(CONTROL, 0, order.key.encode(), encode(order)) for order in orders]
    records += [Record(CONTROL, 0, key.encode(), None) for key in take_back]
    producer = BatchProducer(options(kafka))
    try:
        await producer.start()
        await producer.send(records)
    finally:
        await producer.stop()
