"""The writer stage: `salesforce.writes` to Salesforce, what became of it to `salesforce.results`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, IllegalStateError

from stream import metrics
from stream.internal import InternalServer
from stream.kafka.batches import BatchProducer, Record
from stream.kafka.client import options
from stream.kafka.connections import poll
from stream.kafka.control import ControlReader
from stream.kafka.lag import LagWatch
from stream.kafka.progress import Progress
from stream.records import LIVE, REPLAYED, Outcome
from stream.salesforce.bulk import Kept, read_metadata
from stream.salesforce.client import Client
from stream.salesforce.describe import Describer
from stream.salesforce.dispatcher import Dispatcher
from stream.salesforce.errors import Kind
from stream.salesforce.lanes import ALL, AWAY, CONFIGURATION, LOGIN, OPERATOR, QUOTA, Pace
from stream.salesforce.session import Session
from stream.settings import Kafka, Settings
from stream.stage import Parts
from stream.topics import SALESFORCE_WRITES, WRITER_GROUP

log = logging.getLogger(__name__)

POLL_MS = 500
# Of one poll: small enough that decoding it does not keep the event loop for longer than some 30 ms.
POLL_RECORDS = 2000
FETCH_BYTES = 4 * 1024 * 1024
# After SIGTERM. A supervisor kills after 20 s.
STOP_SECONDS = 15.0
# In flight are two calls one after the other at most, each with a time limit of its own; then outcomes are told.
CALLS_IN_FLIGHT = 2
SETTLE_SECONDS = 5.0


class KafkaLog:
    """Outcomes and offsets in Kafka."""

    def __init__(self, kafka: Kafka, pace: Pace) -> None:
        session = int(kafka.session_timeout_seconds * 1000)
        self._options = options(kafka)
        self._producer = BatchProducer(self._options)
        self._progress = Progress(kafka, SALESFORCE_WRITES, self._producer.send)
        self.consumer: Any = AIOKafkaConsumer(
            **self._options,
            group_id=WRITER_GROUP,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=session,
            heartbeat_interval_ms=session // 4,
            # The window in flight is ended before partitions are given away.
            rebalance_timeout_ms=int(pace.revoke_seconds * 1000) + session,
            max_partition_fetch_bytes=FETCH_BYTES,
            max_poll_records=POLL_RECORDS,
        )
        self._read: dict[int, int] = {}
        self.gave_up = False

    async def start(self, listener: ConsumerRebalanceListener) -> None:
        """Connects, and joins the group. Raises KafkaConnectionError."""
        await self._producer.start()
        self.consumer.subscribe([SALESFORCE_WRITES], listener=listener)
        await self.consumer.start()

    async def stop(self) -> None:
        """Leaves the group and disconnects. With a call given up that Salesforce may still be working on, it does
        not say goodbye: the partitions' next owner is to come only when Kafka has missed us."""
        if not self.gave_up:
            await self.consumer.stop()
        await self._producer.stop()

    async def poll(self) -> list[Any]:
        """Records that have come, at most POLL_RECORDS."""
        fetched = await poll(self.consumer, POLL_MS)
        for tp, records in fetched.items():
            self._read[tp.partition] = records[-1].offset + 1
        return [record for records in fetched.values() for record in records]

    def behind(self) -> int:
        """Records that are there to be read and have not been."""
        ends = {tp.partition: self.consumer.highwater(tp) for tp in self.consumer.assignment()}
        return sum(
            max(0, end - self._read[partition])
            for partition, end in ends.items()
            if end is not None and partition in self._read
        )

    async def send(self, records: Iterable[Record]) -> None:
        """Returns when all of them are durable. Raises KafkaError."""
        await self._producer.send(records)

    async def commit(self, offsets: Mapping[int, tuple[int, str]]) -> bool:
        """Commits offset and metadata by partition. False when the partitions are not ours any more."""
        await self._progress.remember({partition: offset for partition, (offset, _) in offsets.items()})
        wanted = {TopicPartition(SALESFORCE_WRITES, partition): at for partition, at in offsets.items()}
        try:
            await self.consumer.commit(wanted)
        except (CommitFailedError, IllegalStateError):
            return False
        return True

    async def reached(self) -> Mapping[int, int]:
        """How far writes have ever been dealt with, by partition. Raises KafkaError, OffsetsError."""
        return await self._progress.recall()

    async def kept(self, partitions: Iterable[int]) -> dict[int, tuple[Kept, ...]]:
        """The Bulk jobs that the partitions' committed metadata tells of. Raises KafkaError."""
        wanted = [TopicPartition(SALESFORCE_WRITES, partition) for partition in partitions]
        if not wanted:
            return {}
        admin = AIOKafkaAdminClient(**self._options)
        await admin.start()
        try:
            committed = await admin.list_consumer_group_offsets(WRITER_GROUP, partitions=wanted)
        finally:
            await admin.close()
        return {tp.partition: read_metadata(held.metadata) for tp, held in committed.items()}


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Hands partitions to the dispatcher and takes them away. aiokafka logs what a listener raises and goes on,
    so errors are handed over, too."""

    def __init__(self, dispatcher: Dispatcher, sink: KafkaLog) -> None:
        self._dispatcher = dispatcher
        self._log = sink
        self._reached: Mapping[int, int] = {}
        self.assigned = False

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Also before the first assignment. Until we are in the group offsets may be moved, and from then on only
        forward; rows may come before the listener is done with an assignment."""
        try:
            await self._dispatcher.give_up()
            self._reached = await self._log.reached()
        except Exception as error:
            self._dispatcher.fail(error)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        partitions = sorted(tp.partition for tp in assigned)
        self._dispatcher.expect(partitions, self._reached)
        try:
            self._dispatcher.own(await self._log.kept(partitions))
        except Exception as error:
            self._dispatcher.fail(error)
            return
        self.assigned = True
        metrics.REBALANCES.labels("writer").inc()
        log.info("Partitions: %s.", ", ".join(map(str, partitions)) or "none")


async def writer(settings: Settings, stop: asyncio.Event) -> None:
    """Writes until told to stop. Raises SettingError, and KafkaError when outcomes cannot be told."""
    _prepare_metrics(settings)
    pace = Pace(revoke_seconds=CALLS_IN_FLIGHT * settings.salesforce.timeout_seconds + SETTLE_SECONDS)
    async with Parts() as stack:
        session = await stack.enter_async_context(Session(settings.salesforce))
        client = Client(session, Describer(settings.salesforce, session))
        sink = KafkaLog(settings.kafka, pace)
        dispatcher = Dispatcher(client, sink, settings, pace)
        listener = _Listener(dispatcher, sink)
        control = await stack.enter_async_context(ControlReader(settings.kafka))
        dispatcher.hold(control.orders.paused)
        server = InternalServer(
            settings.writer.metrics_listen,
            ("writer", "metrics_listen"),
            lambda: _trouble(dispatcher, listener),
            lambda: _paused(control),
        )
        stack.push_async_callback(server.stop)
        await server.start()
        lag = LagWatch(settings.kafka)
        await lag.start()
        stack.push_async_callback(lag.stop)
        await sink.start(listener)
        stack.push_async_callback(sink.stop)
        await _until_stopped(dispatcher, sink, lag, control, stop)


def _prepare_metrics(settings: Settings) -> None:
    """Every series is there with 0 before its first event, so that `rate()` sees the first one."""
    for kind in Kind:
        metrics.ROW_ERRORS.labels(kind.value)
        metrics.RETRIES.labels(kind.value)
    for object_ in settings.mapping:
        for outcome in get_args(Outcome):
            for phase in (LIVE, REPLAYED):
                metrics.ROWS.labels(object_, outcome, phase)
        metrics.LANE_PAUSED.labels(object_, CONFIGURATION)
        metrics.LANE_PAUSED.labels(object_, OPERATOR)
    for reason in (LOGIN, QUOTA, AWAY, OPERATOR):
        metrics.LANE_PAUSED.labels(ALL, reason)
    metrics.REBALANCES.labels("writer")


async def _until_stopped(
    dispatcher: Dispatcher, sink: KafkaLog, lag: LagWatch, control: ControlReader, stop: asyncio.Event
) -> None:
    working = asyncio.create_task(dispatcher.run())
    others = [
        asyncio.create_task(_poll(dispatcher, sink)),
        asyncio.create_task(lag.run()),
        asyncio.create_task(control.run()),
        asyncio.create_task(_heed(dispatcher, control)),
        asyncio.create_task(stop.wait()),
    ]
    try:
        done, _ = await asyncio.wait([working, *others], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        log.info("The writer ends what is in flight.")
        dispatcher.stop()
        await asyncio.wait({working}, timeout=STOP_SECONDS)
    finally:
        dispatcher.stop()  # or a window that is left behind by an error would begin more calls
        sink.gave_up = dispatcher.in_flight
        for task in (working, *others):
            task.cancel()
        await asyncio.gather(working, *others, return_exceptions=True)
    if not working.cancelled():
        working.result()
    await dispatcher.close()


async def _poll(dispatcher: Dispatcher, sink: KafkaLog) -> None:
    """Reads for ever. When too much is held, fetching pauses; polling goes on, so the group keeps us."""
    paused = False
    while True:
        for record in await sink.poll():
            dispatcher.read(record.partition, record.offset, record.key, record.value, tuple(record.headers))
        if dispatcher.full and not paused:
            sink.consumer.pause(*sink.consumer.assignment())
            paused = True
        elif paused and dispatcher.roomy:
            sink.consumer.resume(*sink.consumer.assignment())
            paused = False
        await asyncio.sleep(0)  # a backlog comes without a wait


async def _heed(dispatcher: Dispatcher, control: ControlReader) -> None:
    """Holds back what an operator wants held back, for ever."""
    while True:
        await control.changed.wait()
        control.changed.clear()
        dispatcher.hold(control.orders.paused)


def _paused(control: ControlReader) -> str | None:
    paused = control.orders.paused
    told = "; ".join(f"{name}: {reason}" for name, reason in sorted(paused.items()))
    return f"ready; writes are paused by an operator ({told})" if told else None


def _trouble(dispatcher: Dispatcher, listener: _Listener) -> str | None:
    if not listener.assigned:
        return "The writer has not joined its group yet."
    if dispatcher.trouble.get(ALL) == LOGIN:
        return "The login to Salesforce fails."
    return None
