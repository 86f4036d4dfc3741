"""Where a rebuild's partitions come from: the log, the changelogs and the writes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec

from agents.rebuild.partition import EMPTY, UNREADABLE, Log, Partition, Row
from agents.stock import Stock
from stream import topics
from stream.kafka.epochs import Epochs
from stream.kafka.offsets import Offsets, OffsetsError
from stream.kafka.plan import Position
from stream.kafka.progress import reached
from stream.kafka.scan import scan
from stream.records import Write, decode_write
from stream.settings import Kafka, Settings
from stream.stripe import catalogue
from tables import customer_mapping, subscriptions

CHUNK = 1000
DECODE: dict[str, Callable[[bytes], Any]] = {
    customer_mapping.NAME: customer_mapping.decode,
    subscriptions.NAME: subscriptions.decode,
}


class Source:
    """Where the partitions come from."""

    def __init__(self, settings: Settings, cluster: Offsets, stock: Stock, *, live: bool) -> None:
        self._settings = settings
        self._kafka = settings.kafka
        self._cluster = cluster
        self._stock = stock
        self._live = live

    async def read_catalogue(self) -> None:
        """Every partition holds the whole of it, so one is read."""
        async for record in self._all((await self._positions(topics.STRIPE_CATALOGUE))[0]):
            self._stock.put(record.key.decode(), catalogue.decode(record.value))

    async def partitions(self) -> AsyncIterator[Partition]:
        """Each partition, folded as far as projectors have come, and compared. Beside a running one it is read
        on to the end, which is asked for after what may follow from it: what is worked on meanwhile is there.
        """
        known = await reached(self._kafka, topics.STRIPE_EVENTS)
        for number in range(len(await self._positions(topics.STRIPE_EVENTS))):
            committed = (await self._positions(topics.STRIPE_EVENTS))[number].at
            held = await self._rows(number)
            asked = await self._asked(number)
            place = (await self._positions(topics.STRIPE_EVENTS))[number]
            oldest = (await self._cluster.earliest([place])).get((place.topic, number))
            if not self._live:  # rows stay as they are when offsets are moved back
                committed = min(place.end, max(committed, known.get(number, 0)))
            end = place.end if self._live else committed
            log = Log(place.start, max(place.start, end), committed, oldest)
            partition = Partition(number, log, held, asked, self._stock, self._settings, live=self._live)
            async for chunk in chunks(self._kafka, number, log.start, log.end):
                partition.fold(chunk)
            await partition.settle()
            keys = partition.keys
            for at in range(0, len(keys), CHUNK):
                await partition.tell(keys[at : at + CHUNK])
            async for chunk in chunks(self._kafka, number, log.start, min(log.end, committed)):
                await partition.retell(chunk)
            yield partition

    async def _rows(self, number: int) -> dict[bytes, Row]:
        held: dict[bytes, Row] = {}
        for place, table in enumerate(topics.TABLES):
            epochs = Epochs()
            async for record in self._all((await self._positions(topics.changelog(table)))[number]):
                if epochs.late(number, record.offset, record.headers):
                    continue
                row = list(held.get(record.key, EMPTY))
                row[place] = _readable(table, record.value)
                held[record.key] = (row[0], row[1])
        return held

    async def _asked(self, number: int) -> dict[str, Write]:
        asked: dict[str, Write] = {}
        async for record in self._all((await self._positions(topics.SALESFORCE_WRITES))[number]):
            try:
                write = decode_write(record.value or b"")
            except msgspec.DecodeError:  # the writer has set it aside
                continue
            known = asked.get(write.key)
            if known is None or known.version <= write.version:
                asked[write.key] = write
        return asked

    async def _positions(self, topic: str) -> list[Position]:
        return await self._cluster.positions(topics.PROJECTOR_GROUP, [topic])

    def _all(self, place: Position) -> AsyncIterator[Any]:
        return scan(self._kafka, place.topic, {place.partition: (place.start, place.end)})


def _readable(table: str, value: bytes | None) -> bytes:
    """The stored half of a row; UNREADABLE for one at which the projector would stop."""
    if value is None:
        return EMPTY[0]
    try:
        DECODE[table](value)
    except msgspec.DecodeError:
        return UNREADABLE
    return value


async def chunks(kafka: Kafka, number: int, start: int, end: int) -> AsyncIterator[Sequence[Any]]:
    """The log of a partition. Raises OffsetsError when any of it is not there any more."""
    chunk: list[Any] = []
    expected = start
    async for record in scan(kafka, topics.STRIPE_EVENTS, {number: (start, end)}):
        if record.offset != expected:
            break
        expected += 1
        chunk.append(record)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if expected < end:
        raise OffsetsError(
            f"{topics.STRIPE_EVENTS} has no record {expected} in partition {number} any more: its retention "
            "deleted some while they were read. Try again."
        )
    if chunk:
        yield chunk
