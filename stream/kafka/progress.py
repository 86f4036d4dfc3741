"""How far a topic has ever been read: what lies below was read before, however the offsets came back.

Kafka forgets where a group was once its offsets are moved. So projector and writer keep, beside each commit, the
highest offset they have come to; when one gets a partition whose committed offset is lower, what is in between is a
replay: `revstream offsets apply`, `kafka-consumer-groups --reset-offsets` or a deleted group, it is all one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

import msgspec

from stream.kafka.batches import Record
from stream.kafka.scan import ranges, scan
from stream.settings import Kafka
from stream.topics import PROGRESS, SALESFORCE_WRITES, STRIPE_EVENTS, WRITES_PROGRESS

# Where it is kept, by the topic that is read. Its name is the only key there, so a partition's last record says
# it all, and the rest need not be read.
KEPT = {STRIPE_EVENTS: PROGRESS, SALESFORCE_WRITES: WRITES_PROGRESS}


class Reached(msgspec.Struct, frozen=True):
    """The offset after the last record that was read and whose outputs are durable."""

    offset: int


_decode = msgspec.json.Decoder(Reached).decode


class Progress:
    """How far a topic has been read, for a stage that reads on. `send` returns when records are durable."""

    def __init__(
        self, kafka: Kafka, topic: str, send: Callable[[Iterable[Record]], Awaitable[object]]
    ) -> None:
        self._kafka = kafka
        self._topic = topic
        self._send = send
        self._reached: dict[int, int] = {}

    async def recall(self) -> Mapping[int, int]:
        """By partition, to be asked with each assignment: another process may have come further. Raises KafkaError,
        OffsetsError."""
        self._reached = await reached(self._kafka, self._topic)
        return dict(self._reached)

    async def remember(self, offsets: Mapping[int, int]) -> None:
        """Before these are committed: a crash in between leaves a replay of what was done, and not an alert told
        twice. Raises KafkaError."""
        further = {
            partition: offset
            for partition, offset in offsets.items()
            if offset > self._reached.get(partition, 0)
        }
        if further:
            await self._send(records(self._topic, further))
            self._reached |= further


async def reached(kafka: Kafka, topic: str) -> dict[int, int]:
    """By partition, as far as anything is kept. Raises KafkaError, OffsetsError."""
    held = await ranges(kafka, KEPT[topic])
    last = {partition: (max(first, end - 1), end) for partition, (first, end) in held.items()}
    return {record.partition: read(record.value) async for record in scan(kafka, KEPT[topic], last)}


def read(value: bytes | None) -> int:
    """The offset that a record tells; 0 without a value."""
    return _decode(value).offset if value is not None else 0


def records(topic: str, offsets: Mapping[int, int]) -> Iterable[Record]:
    """What is to be durable before these offsets of a topic are committed, by partition."""
    for partition, offset in offsets.items():
        yield Record(KEPT[topic], partition, topic.encode(), msgspec.json.encode(Reached(offset)))
