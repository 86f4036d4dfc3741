"""Faust without its faults: one guard for each fault of the stock version, on real Kafka."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from faust.types import TP

from stream.kafka import chunks as module
from stream.kafka.batches import BatchProducer, Record
from stream.kafka.chunks import Chunk, ChunkSchema, chunks
from stream.kafka.rows import Rows
from stream.kafka.worker import WorkerError, faust_app, run
from stream.settings import Kafka
from stream.topics import PROJECTOR_GROUP, STRIPE_EVENTS
from stream.topics import TOPICS as OWN_TOPICS
from tests.integration.conftest import PARTITIONS

DEADLINE = 120.0
Handler = Callable[[int, Chunk, Callable[[], None]], Awaitable[None]]


class Worker:
    """A Faust worker in this process whose agent is the given handler."""

    def __init__(self, brokers: str, folder: Path, handler: Handler, session: float = 6) -> None:
        self.app = faust_app(
            PROJECTOR_GROUP,
            Kafka(brokers=[brokers], partitions=PARTITIONS, session_timeout_seconds=session),
            folder,
        )
        self.table = self.app.Table(
            "customer_mapping", key_type=bytes, value_type=bytes, partitions=PARTITIONS
        )
        self.rows = Rows(self.table, check=lambda _: None)
        self.stop = asyncio.Event()
        self.ready = asyncio.Event()

        async def agent(stream: faust.Stream) -> None:
            async for partition, chunk, done in chunks(stream):
                await handler(partition, chunk, done)

        self.app.agent(self.app.topic(STRIPE_EVENTS, schema=ChunkSchema()), name="agent")(agent)
        self.running = asyncio.create_task(run(self.app, self.stop, self.ready.set))

    async def end(self) -> None:
        self.stop.set()
        await asyncio.wait_for(self.running, DEADLINE)


async def produce(brokers: str, values: range, partition: int = 0) -> None:
    producer = BatchProducer({"bootstrap_servers": brokers})
    await producer.start()
    await producer.send(Record(STRIPE_EVENTS, partition, b"cus", str(value).encode()) for value in values)
    await producer.stop()


async def committed(brokers: str, partition: int = 0) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(PROJECTOR_GROUP)
        held = offsets.get(TopicPartition(STRIPE_EVENTS, partition))
        return held.offset if held else -1
    finally:
        await admin.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110  what is waited for happens in Faust
            await asyncio.sleep(0.02)


async def test_an_event_whose_agent_raises_is_read_again(topics: str, tmp_path: Path) -> None:
    await produce(topics, range(5))

    async def fail(partition: int, chunk: Chunk, done: Callable[[], None]) -> None:
        raise RuntimeError("cannot")

    worker = Worker(topics, tmp_path, fail)
    with pytest.raises(WorkerError, match="cannot"):
        await asyncio.wait_for(worker.running, DEADLINE)
    assert await committed(topics) == -1

    seen: list[int] = []

    async def take(partition: int, chunk: Chunk, done: Callable[[], None]) -> None:
        seen.extend(int(record.value or b"") for record in chunk)
        done()

    worker = Worker(topics, tmp_path, take)
    await until(lambda: len(seen) >= 5)
    await worker.end()
    assert seen == [0, 1, 2, 3, 4]
    assert await committed(topics) == 5


async def test_nothing_behind_an_unacknowledged_chunk_is_committed(topics: str, tmp_path: Path) -> None:
    held: list[Callable[[], None]] = []
    seen: list[int] = []

    async def hold_the_first(partition: int, chunk: Chunk, done: Callable[[], None]) -> None:
        seen.extend(int(record.value or b"") for record in chunk)
        if not held:
            held.append(done)
        else:
            done()

    await produce(topics, range(3))
    worker = Worker(topics, tmp_path, hold_the_first)
    await until(lambda: len(seen) == 3)
    for at in range(3, 30, 3):
        await produce(topics, range(at, at + 3))
    await until(lambda: len(seen) == 30)
    await worker.app.consumer.commit()
    assert await committed(topics) == -1
    held[0]()
    await worker.app.consumer.commit()
    assert await committed(topics) == 30
    await worker.end()


async def test_offsets_wait_for_what_is_still_being_sent(topics: str, tmp_path: Path) -> None:
    async def take(partition: int, chunk: Chunk, done: Callable[[], None]) -> None:
        done()

    worker = Worker(topics, tmp_path, take)
    await asyncio.wait_for(worker.ready.wait(), DEADLINE)
    gate = asyncio.Event()
    changelog = worker.table.changelog_topic
    stock_publish = changelog.publish_message

    async def stalled(future: Any, wait: bool = True) -> Any:
        await gate.wait()
        return await stock_publish(future, wait)

    changelog.publish_message = stalled
    for _ in range(2):  # what `table[key] = value` does: one on its way to Kafka's client, one in the queue
        worker.app.producer.buffer.put(changelog.as_future_message(key=b"k", value=b"v", partition=0))
    await produce(topics, range(1))
    await until(lambda: worker.app.consumer._done != {})
    commit = asyncio.create_task(worker.app.consumer.commit())
    done, _ = await asyncio.wait([commit], timeout=1.0)  # stock Faust gives up its flush after 0.1 s
    assert not done
    assert await committed(topics) == -1
    gate.set()
    await asyncio.wait_for(commit, DEADLINE)
    assert await committed(topics) == 1
    await worker.end()


async def test_two_workers_share_and_lose_nothing(topics: str, tmp_path: Path) -> None:
    seen: dict[str, list[tuple[int, int]]] = {"one": [], "two": []}

    def taker(name: str) -> Handler:
        async def take(partition: int, chunk: Chunk, done: Callable[[], None]) -> None:
            await asyncio.sleep(0.01)
            seen[name] += [(partition, int(record.value or b"")) for record in chunk]
            done()

        return take

    one = Worker(topics, tmp_path / "1", taker("one"), session=15)
    await asyncio.wait_for(one.ready.wait(), DEADLINE)
    for partition in range(PARTITIONS):
        await produce(topics, range(20), partition)
    two = Worker(topics, tmp_path / "2", taker("two"), session=15)
    await asyncio.wait_for(two.ready.wait(), DEADLINE)
    for partition in range(PARTITIONS):
        await produce(topics, range(20, 40), partition)
    everything = {(partition, value) for partition in range(PARTITIONS) for value in range(40)}
    await until(lambda: everything <= {*seen["one"], *seen["two"]})
    await until(lambda: bool(seen["two"]))
    await two.end()
    for partition in range(PARTITIONS):
        await produce(topics, range(40, 50), partition)
    everything = {(partition, value) for partition in range(PARTITIONS) for value in range(50)}
    await until(lambda: everything <= {*seen["one"], *seen["two"]})
    await one.end()
    assert [await committed(topics, partition) for partition in range(PARTITIONS)] == [50] * PARTITIONS
    for values in seen.values():  # within a partition and a worker, nothing overtakes
        for partition in range(PARTITIONS):
            mine = [value for part, value in values if part == partition]
            assert mine == sorted(mine)


async def test_an_acknowledgement_from_before_a_rebalance_commits_nothing(
    topics: str, tmp_path: Path
) -> None:
    held: list[Callable[[], None]] = []

    async def hold(partition: int, chunk: Chunk, done: Callable[[], None]) -> None:
        held.append(done)

    await produce(topics, range(3))
    worker = Worker(topics, tmp_path, hold)
    await until(lambda: len(held) == 1)
    await worker.app.consumer.perform_seek()  # what every rebalance does
    held[0]()
    await worker.app.consumer.commit()
    assert await committed(topics) == -1
    await until(lambda: len(held) == 2)  # it comes again
    held[1]()
    await worker.end()
    assert await committed(topics) == 3


async def test_a_seek_brings_back_what_was_read_before_anything_was_committed(
    topics: str, tmp_path: Path
) -> None:
    read: list[int] = []
    held: list[Callable[[], None]] = []

    async def hold(partition: int, chunk: Chunk, done: Callable[[], None]) -> None:
        read.extend(record.offset for record in chunk)
        held.append(done)

    await produce(topics, range(3))
    worker = Worker(topics, tmp_path, hold)
    await until(lambda: len(read) == 3)
    await worker.app.consumer.perform_seek()  # what every rebalance does
    await until(lambda: len(read) == 6)
    assert read == [0, 1, 2, 0, 1, 2]
    for done in held:
        done()
    await worker.end()


async def test_faust_serves_nothing_and_makes_no_topic(topics: str, tmp_path: Path) -> None:
    async def take(partition: int, chunk: Chunk, done: Callable[[], None]) -> None:
        done()

    worker = Worker(topics, tmp_path, take)
    await asyncio.wait_for(worker.ready.wait(), DEADLINE)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", worker.app.conf.web_port)) != 0
    admin = AIOKafkaAdminClient(bootstrap_servers=topics)
    await admin.start()
    present = {name for name in await admin.list_topics() if not name.startswith("__consumer")}
    await admin.close()
    await worker.end()
    assert present == {topic.name for topic in OWN_TOPICS}


def test_another_faust_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faust.__version__", "0.16.0")
    with pytest.raises(RuntimeError, match=r"built for Faust 0\.15\.3, not 0\.16\.0"):
        module.install(None, None)  # type: ignore[arg-type]


async def test_a_seek_while_a_chunk_is_handed_over_has_it_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust seeks after a recovery while it fetches: what was delivered before is acknowledged in vain."""
    tp = TP(STRIPE_EVENTS, 0)
    consumer: Any = module.ChunkConsumer.__new__(module.ChunkConsumer)
    consumer._delivered, consumer._done, consumer._forgotten = {}, {}, 0
    consumer._read_offset = {tp: 5}
    monkeypatch.setattr(module, "MAX_CHUNK_RECORDS", 2)
    monkeypatch.setattr(consumer, "_is_changelog_tp", lambda _: False, raising=False)
    monkeypatch.setattr(consumer, "_chunk_message", lambda _, records: records[-1], raising=False)
    monkeypatch.setattr(consumer, "suspend_flow", asyncio.Event(), raising=False)
    handed: list[int] = []

    async def hand_over(message: Any) -> None:
        handed.append(message.offset)
        if len(handed) == 1:
            consumer._forget()
            consumer._read_offset[tp] = 5

    async def first(one: Any, other: Any) -> None:
        other.close()
        await one

    monkeypatch.setattr(consumer, "callback", hand_over, raising=False)
    monkeypatch.setattr(consumer, "wait_first", first, raising=False)
    await consumer._deliver(tp, [SimpleNamespace(offset=offset) for offset in (5, 6, 7, 8)])
    assert handed == [6], "the rest comes again"
    assert consumer._read_offset[tp] == 5
    assert not consumer._delivered.get(tp)
    await consumer._deliver(tp, [SimpleNamespace(offset=offset) for offset in (5, 6, 7, 8)])
    assert handed == [6, 6, 8]
    assert [message.offset for message in consumer._delivered[tp]] == [6, 8]
    assert consumer._read_offset[tp] == 9


async def test_a_worker_that_joins_knowing_no_topics_gets_its_partitions_soon(
    topics: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust assigns what its client knows of, and the client asks again only once its knowledge is old."""
    await produce(topics, range(3))
    ask: Any = AIOKafkaClient._metadata_update
    asked: list[int] = []

    async def fail_once(client: AIOKafkaClient, cluster: Any, wanted: Any) -> bool:
        if STRIPE_EVENTS in (wanted or ()):
            asked.append(id(client))
            if asked.count(id(client)) == 1:
                return False
        return bool(await ask(client, cluster, wanted))

    monkeypatch.setattr(AIOKafkaClient, "_metadata_update", fail_once)
    seen: list[int] = []

    async def take(partition: int, chunk: Chunk, done: Callable[[], None]) -> None:
        seen.extend(int(record.value or b"") for record in chunk)
        done()

    worker = Worker(topics, tmp_path, take)
    await until(lambda: len(seen) == 3)
    await worker.end()
    assert await committed(topics) == 3
