"""Events into Kafka in explicit batches, one in flight for each partition.

A `send` for each event costs aiokafka a coroutine, a future and a copy per event. Here the events that come
while batches are in flight wait, and become the next ones: batches grow with the load, and a lone event is sent
at once. All partitions' batches go together, since Kafka's time goes by requests more than by bytes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

from aiokafka.partitioner import DefaultPartitioner

from stream import metrics
from stream.gateway.eventlog import NotKept
from stream.stripe.routing import Headers

log = logging.getLogger(__name__)

# Of all events that wait for Kafka: an event has 3 KB on the average and may have 1 MiB.
WAITING_BYTES = 64 * 1024 * 1024
# While batches are in flight, events are gathered for this long, or until all of those are acknowledged. At 64
# connections the gateway reached 0.71 of a bare handler's rate with 1 ms, and 0.63 with 2 ms.
GATHER_SECONDS = 0.001
# A customer's events come in bursts: its key is hashed (5 µs) once while it stays among this many.
REMEMBERED_KEYS = 65_536

_ACKNOWLEDGED = metrics.PRODUCE_DURATION
_REFUSED = metrics.PRODUCE_FAILURES.labels("refused")
_TIMED_OUT = metrics.PRODUCE_FAILURES.labels("timeout")


class Waiting(NamedTuple):
    """An event on its way; `since` is the loop's time when it came."""

    key: bytes
    value: bytes
    headers: Headers
    timestamp: int
    kept: asyncio.Future[None]
    since: float


class _Lane:
    """One partition: the events that wait, and those of the batch in flight."""

    __slots__ = ("in_flight", "number", "sent", "stalled", "waiting")

    def __init__(self, number: int) -> None:
        self.number = number
        self.waiting: deque[Waiting] = deque()
        self.sent: list[Waiting] = []
        self.in_flight = False
        self.stalled = False  # the batch in flight has been given up, but not by the producer


class Lanes:
    """The partitions of one topic, for the life of one aiokafka producer.

    `timeout` is how many seconds an event may wait for Kafka's ack; `most` how many may wait. `broken` is
    called when a batch is refused: an idempotent producer cannot go on after a batch that was lost, since the
    next one would be out of sequence. The lanes are to be closed then, and made anew on another producer.
    """

    def __init__(
        self,
        producer: Any,
        topic: str,
        partitions: int,
        *,
        timeout: float,
        most: int,
        broken: Callable[[], None],
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._timeout = timeout
        self._most = most
        self._broken = broken
        self._loop = asyncio.get_running_loop()
        self._lanes = [_Lane(number) for number in range(partitions)]
        self._lane = lru_cache(maxsize=REMEMBERED_KEYS)(self._choose)
        self._flushing: asyncio.Handle | None = None
        self._soon = False
        self._closed = False
        self._sending: set[asyncio.Task[None]] = set()
        self._batches = 0
        self._bytes = 0
        self.waiting = 0

    @property
    def count(self) -> int:
        """How many partitions there are."""
        return len(self._lanes)

    @property
    def stalled(self) -> list[int]:
        """The partitions whose batch Kafka did not acknowledge in time."""
        return [lane.number for lane in self._lanes if lane.stalled]

    def append(self, key: bytes, value: bytes, headers: Headers, timestamp: int) -> asyncio.Future[None]:
        """Puts an event into its partition's next batch. Raises NotKept."""
        lane = self._lane(key)
        if lane.stalled:
            raise NotKept(
                "kafka_unavailable", f"Kafka does not acknowledge partition {lane.number} of {self._topic}."
            )
        if self.waiting >= self._most or self._bytes >= WAITING_BYTES:
            raise NotKept("overloaded", "Too many events are waiting for Kafka.")
        kept = self._loop.create_future()
        lane.waiting.append(Waiting(key, value, headers, timestamp, kept, self._loop.time()))
        self.waiting += 1
        self._bytes += len(value)
        if self._flushing is None:
            self._flush_in(GATHER_SECONDS if self._batches else 0)
        return kept

    def _choose(self, key: bytes) -> _Lane:
        """The partition that Java's producer would choose (murmur2)."""
        lane: _Lane = DefaultPartitioner()(key, self._lanes, self._lanes)
        return lane

    def _flush_in(self, seconds: float) -> None:
        """Flushes after some seconds; 0 is as soon as what is ready to run now has run."""
        if self._flushing is not None:
            self._flushing.cancel()
        self._soon = not seconds
        self._flushing = (
            self._loop.call_later(seconds, self._flush) if seconds else self._loop.call_soon(self._flush)
        )

    def _flush(self) -> None:
        """Makes a batch for each partition that has events waiting and none in flight, and sends them."""
        self._flushing, self._soon = None, False
        ready: list[tuple[_Lane, Any]] = []
        for lane in self._lanes:
            if not lane.waiting or lane.in_flight:
                continue
            batch = self._producer.create_batch()
            while lane.waiting:
                key, value, headers, timestamp, _, _ = lane.waiting[0]
                # None: the batch is full. An empty one takes its first event whatever its size.
                if batch.append(key=key, value=value, timestamp=timestamp, headers=headers) is None:
                    break
                lane.sent.append(lane.waiting.popleft())
            lane.in_flight = True
            ready.append((lane, batch))
        if ready:
            self._batches += len(ready)
            task = self._loop.create_task(self._send(ready))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, ready: list[tuple[_Lane, Any]]) -> None:
        began = self._loop.time()
        for lane, batch in ready:
            try:
                ack = await self._producer.send_batch(batch, self._topic, partition=lane.number)
            except Exception as error:
                self._answer(lane, error)
            else:
                ack.add_done_callback(partial(self._acknowledged, lane, began))

    def _acknowledged(self, lane: _Lane, began: float, ack: asyncio.Future[Any]) -> None:
        error = ack.exception()
        if error is None:
            _ACKNOWLEDGED.observe(self._loop.time() - began)
        self._answer(lane, error)

    def _answer(self, lane: _Lane, error: BaseException | None) -> None:
        """Ends a partition's batch, so that it can have its next."""
        if self._closed:
            return
        events, lane.sent = lane.sent, []
        lane.in_flight = lane.stalled = False
        self._batches -= 1
        if error is None:
            self._settle(events)
        else:
            log.error("Kafka refuses a batch for partition %d: %s.", lane.number, type(error).__name__)
            _REFUSED.inc(len(events))
            self._settle(events, "kafka_unavailable", "Kafka did not take the event.")
            self._broken()
        if not self._batches:
            if self.waiting and not self._soon:
                self._flush_in(0)
        elif lane.waiting and self._flushing is None:
            self._flush_in(GATHER_SECONDS)

    def expire(self) -> None:
        """Gives up the events that have waited too long. To be called a few times a second."""
        latest = self._loop.time() - self._timeout
        for lane in self._lanes:
            expired = []
            if lane.sent and lane.sent[0].since < latest:
                lane.stalled = True
                expired, lane.sent = lane.sent, []
                log.error("Kafka does not acknowledge partition %d of %s.", lane.number, self._topic)
            while lane.waiting and lane.waiting[0].since < latest:
                expired.append(lane.waiting.popleft())
            _TIMED_OUT.inc(len(expired))
            self._settle(
                expired, "kafka_timeout", f"Kafka did not acknowledge the event within {self._timeout:g} s."
            )

    async def settled(self, seconds: float) -> None:
        """Returns when no event waits any more, or after some seconds."""
        if waiting := [event.kept for lane in self._lanes for event in (*lane.sent, *lane.waiting)]:
            await asyncio.wait(waiting, timeout=seconds)

    def close(self) -> None:
        """Gives up every event that waits."""
        self._closed = True
        if self._flushing is not None:
            self._flushing.cancel()
        for lane in self._lanes:
            events = [*lane.sent, *lane.waiting]
            _REFUSED.inc(len(events))
            self._settle(events, "kafka_unavailable", "Kafka went away before it took the event.")

    def _settle(
        self,
        events: list[Waiting],
        reason: Literal["kafka_timeout", "kafka_unavailable"] | None = None,
        message: str = "",
    ) -> None:
        """Tells those who wait for these events."""
        for event in events:
            self.waiting -= 1
            self._bytes -= len(event.value)
            if event.kept.done():
                continue  # nobody waits any more
            if reason is None:
                event.kept.set_result(None)
            else:
                event.kept.set_exception(NotKept(reason, message))
