"""Faust without its faults: records travel through it in chunks.

Stock Faust 0.15.3 starts four asyncio tasks a record, loses an event whose agent raises, can commit past a
gap, and can commit before the changelog is flushed. Here all fetched records of one partition reach the agent
as *one* Faust event, which is acknowledged as a whole and in order. The agent reads a `chunks()` stream and
acknowledges an event only when everything that follows from it is durable.

This builds on private parts of Faust, so its version is pinned and each fault has a guard test.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import faust
from aiokafka import ConsumerRecord
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.transport.producer import ProducerBuffer
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.utils.futures import notify

from stream.kafka.batches import MAX_CHUNK_RECORDS
from stream.kafka.recovery import ChunkRecovery

FAUST_VERSION = "0.15.3"

# A fetch that finds nothing is answered after this long. Stock Faust's 1.5 s lets one idle partition delay all.
FETCH_WAIT_MS = 100
FETCH_PARTITION_BYTES = 8 * 1024 * 1024
# Of all partitions in one answer. By default it is 50 MB, which takes seconds to be read into records while tables
# come back: the consumer's thread was taken for dead meanwhile, and heartbeats were late. This is no slower.
FETCH_BYTES = 16 * 1024 * 1024
# How often it is looked whether the coordination of the group stands still.
ERRORS_SECONDS = 1.0

Chunk = Sequence[ConsumerRecord]
BeforeCommit = Callable[[Mapping[TP, int]], Awaitable[None]]


class ChunkSchema(faust.Schema):  # type: ignore[misc]
    """Hands the chunk on as it is: decoding is the agent's, so that it can set aside what is undecodable."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> Any:
        return message.key

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        return message.value


class ChunkConsumer(driver.Consumer):  # type: ignore[misc]
    """A consumer that delivers chunks, and whose committed offset never passes one that is not acknowledged.

    `_delivered` holds the chunks of a partition in the order of their offsets; `_done` is the offset after the
    last chunk of the unbroken run of acknowledged ones, which is all that is ever committed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._delivered: dict[TP, deque[ConsumerMessage]] = {}
        self._done: dict[TP, int] = {}
        self._forgotten = 0
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> Any:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # From fetch to agent

    async def _drain_messages(self, fetcher: Any) -> None:
        while not (self.should_stop or fetcher.should_stop):
            records, active = await self._wait_next_records(1.0)
            await self.sleep(0)
            if records is None or self.should_stop:
                continue
            if not self.flow_active:  # a rebalance began while we fetched: what we hold may not be ours
                await self._return_to_committed()
                continue
            generation = self.app.consumer_generation_id
            for tp, fetched in records.items():
                if not self.flow_active or self.app.consumer_generation_id != generation:
                    break
                if active is None or tp in active or tp in self._buffered_partitions:
                    await self._deliver(tp, fetched)

    async def _return_to_committed(self) -> None:
        try:
            await self.perform_seek()
        except Exception as error:
            self.log.warning("Cannot seek to the committed offsets during a rebalance: %r", error)

    async def _deliver(self, tp: TP, records: Sequence[ConsumerRecord]) -> None:
        position = self._read_offset[tp] or 0
        if records[0].offset < position:
            records = [record for record in records if record.offset >= position]
        if self._is_changelog_tp(tp):
            await self._restore(tp, records)
        else:
            forgotten = self._forgotten
            for start in range(0, len(records), MAX_CHUNK_RECORDS):
                if forgotten != self._forgotten:
                    return  # the rest is read again with the beginning
                message = self._chunk_message(tp, records[start : start + MAX_CHUNK_RECORDS])
                self._delivered.setdefault(tp, deque()).append(message)
                await self._hand_over(tp, message)

    async def _restore(self, tp: TP, records: Sequence[ConsumerRecord]) -> None:
        """Gives a table its own records, some at a time, so that others get their turn. What it raises ends the
        worker: to go on would lose state."""
        forgotten = self._forgotten
        for start in range(0, len(records), MAX_CHUNK_RECORDS):
            if forgotten != self._forgotten:
                return  # Faust seeks anew
            some = records[start : start + MAX_CHUNK_RECORDS]
            try:
                self.app.tables.recovery.take(tp, some)
            except Exception as error:
                await self.app.crash(error)
                raise
            self._read_offset[tp] = some[-1].offset + 1
            await asyncio.sleep(0)

    async def _hand_over(self, tp: TP, message: ConsumerMessage) -> None:
        """Gives a message to its agent; a rebalance interrupts the wait for a full buffer.

        Faust seeks while it fetches. What was forgotten meanwhile is read again, so it does not count as read: its
        acknowledgement would move no offset, and nothing else would bring it.
        """
        forgotten = self._forgotten
        await self.wait_first(self.callback(message), self.suspend_flow.wait())
        if forgotten == self._forgotten:
            self._read_offset[tp] = message.offset + 1

    def _chunk_message(self, tp: TP, records: Sequence[ConsumerRecord]) -> ConsumerMessage:
        last = records[-1]
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000,
            last.timestamp_type,
            None,
            None,
            records,
            None,
            serialized_key_size=0,
            serialized_value_size=0,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    # From acknowledgement to commit

    def ack(self, message: ConsumerMessage) -> bool:
        """Marks a chunk as done. One that is not of this generation's deliveries changes nothing."""
        message.acked = True
        self._unacked_messages.discard(message)
        delivered = self._delivered.get(message.tp)
        while delivered and delivered[0].acked:
            self._done[message.tp] = delivered.popleft().offset + 1
        notify(self._waiting_for_ack)
        return True

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commits what is done; the records that were sent for it are flushed before, and the transport's
        `before_commit` has been told of it."""
        assigned = self.assignment()
        offsets = {
            tp: done
            for tp, done in self._done.items()
            if tp in assigned
            and done > (self._committed_offset[tp] or 0)
            and (topics is None or tp in topics or tp.topic in topics)
        }
        if not offsets:
            return False
        await self.app.producer.flush()
        await self.transport.before_commit(offsets)
        committed: bool = await self._commit(offsets)
        if committed:
            self._committed_offset.update(offsets)
            self.app.tables.on_commit(offsets)
            self.app.monitor.on_tp_commit(offsets)
        return committed

    def _forget(self) -> None:
        self._forgotten += 1
        self._delivered.clear()
        self._done.clear()

    async def perform_seek(self) -> None:
        """aiokafka's seek leaves a partition where it is that has nothing committed yet. What was read of it and is
        forgotten here would never come again, and so nothing of it would ever be committed."""
        self._forget()
        await super().perform_seek()
        never = [
            tp for tp in self.assignment() if not self._committed_offset[tp] and not self._is_changelog_tp(tp)
        ]
        if never:
            with suppress(IllegalStateError):  # a rebalance came between, and seeks anew
                await self._thread.seek_to_beginning(*map(driver.ensure_aiokafka_TP, never))

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await super().on_partitions_revoked(revoked)
        # Rebalancing is eager: all partitions are given up, and read again from what was committed.
        self._forget()


class _ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # Faust has no settings for these
        consumer._fetch_max_bytes = FETCH_BYTES
        return consumer

    @driver.AIOKafkaConsumerThread.task  # type: ignore[untyped-decorator]
    async def _hear_of_errors(self) -> None:
        """Ends the worker when Kafka refuses it in its group. aiokafka then stands still until somebody asks for
        errors, as its own poll does; Faust never does."""
        while not self.should_stop:
            await self.sleep(ERRORS_SECONDS)
            try:
                self._ensure_consumer()._coordinator.check_errors()
            except Exception as error:
                self.parent_loop.call_soon_threadsafe(self.app._crash, error)
                return


class _WholeBuffer(ProducerBuffer):  # type: ignore[misc]
    """A send buffer that also knows of the message it is handing to Kafka's client right now."""

    sending = 0

    async def _send_pending(self, future: Any) -> None:
        self.sending += 1
        try:
            await super()._send_pending(future)
        finally:
            self.sending -= 1


class FlushingProducer(driver.Producer):  # type: ignore[misc]
    """A producer whose `flush` leaves nothing unsent. Stock Faust gives up when nothing moves for 0.1 s, and
    does not count the message that has left its queue and is not yet with Kafka's client."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.buffer = _WholeBuffer(loop=self.loop, beacon=self.beacon)
        self.buffer.app = self.app

    async def flush(self) -> None:
        while self.buffer.size or self.buffer.sending:
            await self.buffer.flush()
            await asyncio.sleep(0.01 if self.buffer.sending else 0)
        await super().flush()


class ChunkTransport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with the two parts above. `before_commit` is awaited with the offsets that are
    about to be committed; when it raises, they are not."""

    Consumer = ChunkConsumer
    Producer = FlushingProducer

    def __init__(self, *args: Any, before_commit: BeforeCommit, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.before_commit = before_commit


def install(app: faust.App, before_commit: BeforeCommit) -> None:
    """Gives the app the chunked transport. Raises RuntimeError on any Faust but the one this was built for."""
    if faust.__version__ != FAUST_VERSION:
        raise RuntimeError(
            f"The chunked transport is built for Faust {FAUST_VERSION}, not {faust.__version__}."
        )
    app.transport = ChunkTransport(app.conf.broker, app, app.loop, before_commit=before_commit)
    app.tables._recovery = ChunkRecovery(app, app.tables, beacon=app.tables.beacon)


async def chunks(stream: faust.Stream) -> AsyncIterator[tuple[int, Chunk, Callable[[], None]]]:
    """The partition, the records and the acknowledgement of each chunk.

    The acknowledgement is to be called once everything that follows from the chunk is durable; a chunk whose
    acknowledgement is never called is read again after a restart, and nothing behind it is committed.
    """
    async for event in stream.noack().events():
        message = event.message
        yield message.partition, cast(Chunk, event.value), event.ack
