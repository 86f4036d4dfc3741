"""How far Stripe's events have ever been read: what lies below was read before, however the offsets came back.

Kafka forgets where a group was once its offsets are moved. So the projector keeps, beside each commit, the highest
offset it has come to; when it gets a partition whose committed offset is lower, what is in between is a replay:
`revstream offsets apply`, `kafka-consumer-groups --reset-offsets` or a deleted group, it is all one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from stream.kafka.batches import Record
from stream.kafka.scan import ranges, scan
from stream.settings import Kafka
from stream.topics import PROGRESS, STRIPE_EVENTS

# The only key, so that a partition's last record says it all and the rest need not be read.
KEY = STRIPE_EVENTS.encode()


class Reached(msgspec.Struct, frozen=True):
    """The offset after the last event that was read and whose outputs are durable."""

    offset: int


_decode = msgspec.json.Decoder(Reached).decode


async def reached(kafka: Kafka) -> dict[int, int]:
    """By partition, as far as anything is kept. Raises KafkaError, OffsetsError."""
    held = await ranges(kafka, PROGRESS)
    last = {partition: (max(first, end - 1), end) for partition, (first, end) in held.items()}
    return {record.partition: read(record.value) async for record in scan(kafka, PROGRESS, last)}


def read(value: bytes | None) -> int:
    """The offset that a record of the topic tells; 0 without a value."""
    return _decode(value).offset if value is not None else 0


def records(offsets: Mapping[int, int]) -> Iterable[Record]:
    """What is to be durable before these offsets are committed, by partition."""
    for partition, offset in offsets.items():
        yield Record(PROGRESS, partition, KEY, msgspec.json.encode(Reached(offset)))
