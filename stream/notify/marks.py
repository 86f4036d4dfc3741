"""Who tells what: `revstream.notices.sent`, a mark for each notice and channel, written before anything is sent.

Several processes may want to tell the same (one was thought dead, and was not). Each writes a mark of its own, and
the first in the partition's order counts for all of them: a message goes out only from who finds its own first.
A process that ends between its mark and the sending leaves that message untold.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.kafka.batches import BatchProducer, Record
from stream.kafka.client import options
from stream.kafka.connections import poll
from stream.kafka.scan import ranges
from stream.notify.port import Item, Parcel
from stream.settings import Kafka
from stream.topics import NOTICES_SENT

POLL_MS = 500
KEPT_MS = 30 * 24 * 3600 * 1000  # as the topic keeps them


class Mark(msgspec.Struct, frozen=True):
    """Whose mark it is."""

    by: str


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Mark).decode


def key(item: Item, channel: str) -> str:
    """What is told at most once."""
    return f"{item.notice.id}:{channel}"


class Marks:
    """All marks of all partitions, followed. `start()` reads those that are there."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._producer = BatchProducer(options(kafka))
        self._consumer: Any = AIOKafkaConsumer(**options(kafka), enable_auto_commit=False)
        self._first: OrderedDict[str, tuple[str, int]] = OrderedDict()  # key → whose, epoch milliseconds
        self._waiting: dict[str, asyncio.Future[bool]] = {}
        self._self = uuid.uuid4().hex
        self._count = 0

    async def start(self) -> None:
        """Raises KafkaError when Kafka does not answer, OffsetsError when the topic is missing."""
        found = await ranges(self._kafka, NOTICES_SENT)
        await self._producer.start()
        await self._consumer.start()
        partitions = [TopicPartition(NOTICES_SENT, partition) for partition in found]
        self._consumer.assign(partitions)
        await self._consumer.seek_to_beginning(*partitions)
        for tp in partitions:
            while await self._consumer.position(tp) < found[tp.partition][1]:
                await self._poll()

    async def stop(self) -> None:
        """Disconnects."""
        await self._consumer.stop()
        await self._producer.stop()

    async def run(self) -> None:
        """Follows until cancelled. Raises KafkaError."""
        while True:
            await self._poll()

    async def claim(self, parcel: Parcel) -> tuple[Item, ...]:
        """Marks a parcel's items as told on its channel; gives those that are ours to tell.

        Returns once the marks are durable. Raises KafkaError; what was marked by then is told by nobody.
        """
        mine: dict[str, Item] = {}
        records = []
        for item in parcel.items:
            name = key(item, parcel.channel)
            if name in self._first:
                continue
            self._count += 1
            by = f"{self._self}:{self._count}"
            mine[by] = item
            records.append(Record(NOTICES_SENT, item.partition, name.encode(), _encode(Mark(by))))
        if not records:
            return ()
        waiting = {by: asyncio.get_running_loop().create_future() for by in mine}
        self._waiting |= waiting
        try:
            await self._producer.send(records)
            won = await asyncio.gather(*waiting.values())
        finally:
            for by in waiting:
                self._waiting.pop(by, None)
        return tuple(item for item, ours in zip(mine.values(), won, strict=True) if ours)

    async def _poll(self) -> None:
        for records in (await poll(self._consumer, POLL_MS)).values():
            self._read(records)

    def _read(self, records: Iterable[Any]) -> None:
        for record in records:
            try:
                by = _decode(record.value or b"").by
            except msgspec.DecodeError:
                by = ""  # whoever wrote it: it is marked
            first, _ = self._first.setdefault(
                (record.key or b"").decode(errors="replace"), (by, record.timestamp)
            )
            if (waiting := self._waiting.get(by)) and not waiting.done():
                waiting.set_result(first == by)
        too_old = int(time.time() * 1000) - KEPT_MS
        while self._first and next(iter(self._first.values()))[1] < too_old:
            self._first.popitem(last=False)
