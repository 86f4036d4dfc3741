"""Tables come back from their changelogs, a fetch at a time, on real Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import faust
import msgspec
import pytest
from aiokafka import ConsumerRecord
from faust.types import TP

from stream.kafka import chunks as module
from stream.kafka.batches import BatchProducer, Record
from stream.kafka.chunks import ChunkSchema, chunks
from stream.kafka.epochs import mark
from stream.kafka.rows import Rows
from stream.kafka.worker import WorkerError, faust_app, run
from stream.settings import Kafka
from stream.topics import PROJECTOR_GROUP, STRIPE_EVENTS, changelog
from tests.integration.conftest import PARTITIONS

DEADLINE = 60.0
TABLE = "customer_mapping"


def check(value: bytes | None) -> None:
    if value == b"unreadable":
        raise msgspec.DecodeError("it is not JSON")


class Worker:
    """A Faust worker in this process, with one table; `restored` counts records by partition. A busy one works on
    no chunk before it is ready."""

    def __init__(self, brokers: str, folder: Path, store: str, *, busy: bool = False) -> None:
        kafka = Kafka(brokers=[brokers], partitions=PARTITIONS, session_timeout_seconds=6)
        self.app = faust_app(PROJECTOR_GROUP, kafka, folder, store)
        table = self.app.Table(TABLE, key_type=bytes, value_type=bytes, partitions=PARTITIONS)
        self.rows = Rows(table, check)
        self.restored: dict[int, int] = {}
        self._restore = self.rows.restore
        self.app.tables.recovery.restores[changelog(TABLE)] = self._note
        self.read: list[Any] = []
        self.stop = asyncio.Event()
        self.ready = asyncio.Event()

        async def agent(stream: faust.Stream) -> None:
            async for _, chunk, done in chunks(stream):
                if busy:
                    await self.ready.wait()
                self.read += [record.value for record in chunk]
                done()

        self.app.agent(self.app.topic(STRIPE_EVENTS, schema=ChunkSchema()), name="agent")(agent)

    def _note(self, partition: int, records: Sequence[ConsumerRecord]) -> None:
        self._restore(partition, records)
        self.restored[partition] = self.restored.get(partition, 0) + len(records)

    def held(self) -> dict[int, dict[bytes, bytes]]:
        return {partition: dict(self.rows.items(partition)) for partition in range(PARTITIONS)}


@asynccontextmanager
async def ready(worker: Worker) -> AsyncIterator[Worker]:
    running = asyncio.create_task(run(worker.app, worker.stop, worker.ready.set))
    waiting = asyncio.create_task(worker.ready.wait())
    await asyncio.wait({running, waiting}, timeout=DEADLINE, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if running.done():
        running.result()
    assert worker.ready.is_set()
    try:
        yield worker
    finally:
        worker.stop.set()
        await asyncio.wait_for(running, DEADLINE)


async def send(
    brokers: str, records: Sequence[tuple[int, bytes, bytes | None]], epoch: int | None = None
) -> None:
    marks = () if epoch is None else (mark(epoch),)
    producer = BatchProducer({"bootstrap_servers": brokers})
    await producer.start()
    await producer.send(
        Record(changelog(TABLE), partition, key, value, marks) for partition, key, value in records
    )
    await producer.stop()


def history(count: int) -> list[tuple[int, bytes, bytes | None]]:
    """Rows of all partitions but the last, each written three times, some removed in the end."""
    return [
        (number % (PARTITIONS - 1), b"%d" % number, None if turn == 2 and number % 7 == 0 else b"%d" % turn)
        for turn in range(3)
        for number in range(count)
    ]


def last(records: Sequence[tuple[int, bytes, bytes | None]]) -> dict[int, dict[bytes, bytes]]:
    found: dict[int, dict[bytes, Any]] = {partition: {} for partition in range(PARTITIONS)}
    for partition, key, value in records:
        found[partition][key] = value
    return {p: {key: value for key, value in rows.items() if value is not None} for p, rows in found.items()}


@pytest.mark.parametrize("store", ["memory", "rocksdb"])
async def test_every_row_is_as_it_was_last(
    topics: str, tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CHUNK_RECORDS", 70)  # so that a fetch is several calls
    told = history(1000)
    await send(topics, told)
    async with ready(Worker(topics, tmp_path, store)) as worker:
        assert worker.held() == last(told)
        assert sum(worker.restored.values()) == len(told)

    more = [(0, b"3", b"after"), (1, b"4", None)]
    await send(topics, more)
    async with ready(Worker(topics, tmp_path, store)) as worker:
        assert worker.held() == last([*told, *more])
        # RocksDB's files are there: what they have is not read again.
        assert sum(worker.restored.values()) == (2 if store == "rocksdb" else len(told) + 2)


@pytest.mark.parametrize("store", ["memory", "rocksdb"])
async def test_a_row_that_cannot_be_read_stops_the_worker_and_names_its_place(
    topics: str, tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CHUNK_RECORDS", 2)
    told = [(1, b"row", b"before"), (1, b"other", b"fine"), (1, b"row", b"unreadable"), *history(10)]
    await send(topics, told)
    for _ in range(2):  # RocksDB's files do not pass it
        with pytest.raises(WorkerError, match="customer_mapping cannot be read at partition 1, offset 2"):
            async with ready(Worker(topics, tmp_path, store)):
                pass
    mended = (1, b"row", b"mended")
    await send(topics, [mended])
    async with ready(Worker(topics, tmp_path, store)) as worker:
        assert worker.held() == last([*told, mended])


@pytest.mark.parametrize("store", ["memory", "rocksdb"])
async def test_a_record_that_cannot_be_read_does_not_matter_when_a_later_one_can(
    topics: str, tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a rebuild, until compaction removes the old one."""
    monkeypatch.setattr(module, "MAX_CHUNK_RECORDS", 3)
    broken = [(0, b"here", b"unreadable"), (1, b"there", b"unreadable"), (1, b"gone", b"unreadable")]
    at_once = [(0, b"here", b"mended"), (0, b"here", b"unreadable"), (0, b"here", b"mended again")]
    later = [(1, b"gone", None), (1, b"there", b"mended")]
    told = [*broken, *at_once, *history(10), *later]
    await send(topics, told)
    async with ready(Worker(topics, tmp_path, store)) as worker:
        assert worker.held() == last(told)
    async with ready(Worker(topics, tmp_path, store)) as worker:
        assert worker.held() == last(told)
        assert sum(worker.restored.values()) == (0 if store == "rocksdb" else len(told))


async def test_a_full_disk_stops_the_worker_and_the_next_one_reads_it_all(
    topics: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = history(50)
    await send(topics, told)
    full = Worker(topics, tmp_path, "rocksdb")

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(full.rows, "_put", fail)
    with pytest.raises(WorkerError, match="No space left"):
        async with ready(full):
            pass
    async with ready(Worker(topics, tmp_path, "rocksdb")) as worker:
        assert worker.held() == last(told)


async def test_what_a_former_owner_writes_once_streams_flow_undoes_nothing(
    topics: str, tmp_path: Path
) -> None:
    await send(topics, [(0, b"1", b"old")])
    async with ready(Worker(topics, tmp_path, "memory")) as worker:
        worker.rows.put(0, {b"1": b"new"}, 5, 1)
        place = TP(changelog(TABLE), 0)
        late: Callable[..., ConsumerRecord] = ConsumerRecord
        record = late(place.topic, 0, 9, 0, 0, b"1", b"late", None, 1, 4, ())
        worker.app.tables.recovery.take(place, [record])
        assert worker.rows.get(0, b"1") == b"new"


@pytest.mark.parametrize("store", ["memory", "rocksdb"])
async def test_what_a_former_owner_wrote_late_is_left_out_and_named(
    topics: str, tmp_path: Path, store: str
) -> None:
    await send(topics, [(0, b"1", b"first"), (1, b"11", b"first")], 7)
    await send(topics, [(0, b"1", b"new"), (0, b"2", b"new")], 8)
    async with ready(Worker(topics, tmp_path, store)) as worker:
        assert worker.rows.epoch(0) == 8
        assert worker.rows.epoch(1) == 7
    await send(topics, [(0, b"1", b"late"), (1, b"11", b"second")], 7)
    async with ready(Worker(topics, tmp_path, store)) as worker:
        assert worker.held() == last([(0, b"1", b"new"), (0, b"2", b"new"), (1, b"11", b"second")])
        assert [set(worker.rows.overwritten(partition)) for partition in range(2)] == [{b"1"}, set()]
        worker.rows.put(0, {b"1": b"new"}, 3, 9)
        assert not worker.rows.overwritten(0)
        assert worker.rows.epoch(0) == 9


async def test_what_comes_between_seek_and_flow_is_not_lost(
    topics: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust seeks, and then empties the queues: what was fetched in between must come again."""
    await send(topics, history(10))
    producer = BatchProducer({"bootstrap_servers": topics})
    await producer.start()
    await producer.send(Record(STRIPE_EVENTS, 0, b"cus", b"%d" % number) for number in range(5))
    await producer.stop()
    monkeypatch.setattr(module, "MAX_CHUNK_RECORDS", 2)
    worker = Worker(topics, tmp_path, "memory", busy=True)
    consumer = worker.app.consumer
    seek = consumer.perform_seek

    async def seek_and_dawdle() -> None:
        await seek()
        await asyncio.sleep(1)  # as on a busy machine: fetches go on meanwhile

    consumer.perform_seek = seek_and_dawdle
    async with ready(worker):
        async with asyncio.timeout(DEADLINE):
            while len(worker.read) < 5:  # noqa: ASYNC110  what is waited for happens in Faust
                await asyncio.sleep(0.02)
    assert worker.read == [b"0", b"1", b"2", b"3", b"4"]
