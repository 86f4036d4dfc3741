"""Dead letters as Kafka holds them."""

from __future__ import annotations

from stream import letters
from stream.kafka.control import ControlReader
from stream.kafka.scan import ranges, scan
from stream.letters import Letter, Wanted
from stream.settings import Kafka
from stream.topics import DEAD_LETTERS


async def find(kafka: Kafka, wanted: Wanted, *, closed: bool = False) -> list[Letter]:
    """Those that are meant, with what became of them; only with `closed` those that are done with, too. Raises
    KafkaError, OffsetsError."""
    async with ControlReader(kafka) as reader:
        done = {place: order.how for place, order in reader.orders.closed.items()}
    found = []
    async for record in scan(kafka, DEAD_LETTERS, await ranges(kafka, DEAD_LETTERS)):
        letter = letters.read(record.partition, record.offset, record.key, record.value, record.headers, done)
        if wanted.takes(letter) and (closed or letter.closed is None):
            found.append(letter)
    return found
