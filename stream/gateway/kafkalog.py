"""The event log in Kafka: one idempotent producer, which is connected, watched and made anew as needed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from stream.gateway.eventlog import NotKept
from stream.gateway.lanes import Lanes
from stream.stripe.routing import Headers
from stream.topics import MAX_RECORD_BYTES

log = logging.getLogger(__name__)

# aiokafka packs lz4 at level 9 and lets nobody choose: some 70 µs for a real event of 2.7 KB, a quarter of the
# gateway's time. Snappy takes 5 µs, and the batch is a quarter larger.
COMPRESSION = "snappy"
# Of one batch, before compression.
BATCH_BYTES = 1024 * 1024

EXPIRE_SECONDS = 0.25
PROBE_SECONDS = 3.0
PROBE_AWAY_SECONDS = 0.5
PROBE_TIMEOUT_SECONDS = 5.0
CONNECT_TIMEOUT_SECONDS = 15.0
# After this long without Kafka the client is made anew from the configured brokers: the ones that it knows
# may have moved, and it would never ask for others.
FORGET_SECONDS = 30.0
CLOSE_SECONDS = 3.0

NOT_YET = "Kafka is not connected yet."
SILENT = "Kafka does not answer."
STOPPED = "The gateway is stopping."

_FORBIDDEN = (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)


class KafkaLog:
    """An `EventLog` on one Kafka topic, which connects by itself, also when Kafka comes late or comes back.

    `options` are for the Kafka client; `timeout` is how many seconds an event may wait for the ack of all
    in-sync replicas; `most` how many events may wait.

    An event that timed out may get into Kafka all the same, since an idempotent producer goes on trying. When
    Stripe sends it again it is there twice, as after any other lost answer.
    """

    def __init__(self, options: Mapping[str, Any], topic: str, *, timeout: float, most: int) -> None:
        self._options = {
            **options,
            "acks": "all",
            "enable_idempotence": True,
            "compression_type": COMPRESSION,
            "max_batch_size": BATCH_BYTES,
            "max_request_size": 2 * MAX_RECORD_BYTES,
            # A broker that takes a request and stays silent is given up soon after the events are.
            "request_timeout_ms": int(timeout * 1000) + 2000,
        }
        self._topic = topic
        self._timeout = timeout
        self._most = most
        self._tasks: list[asyncio.Task[None]] = []
        self._broken = asyncio.Event()
        self._producer: Any = None
        self._lanes: Lanes | None = None
        self._away: str | None = NOT_YET

    def start(self) -> None:
        """Begins to connect and to watch."""
        self._tasks = [asyncio.create_task(self._keep_connected()), asyncio.create_task(self._keep_time())]

    async def stop(self) -> None:
        """Waits for the acks that are due, as long as an event may wait, and disconnects."""
        if self._lanes is not None:
            await self._lanes.settled(self._timeout)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._away = STOPPED
        await self._disconnect()

    def trouble(self) -> str | None:
        """Why nothing, or not everything, can be kept just now; None when it can."""
        if self._away is None and self._lanes is not None and (stalled := self._lanes.stalled):
            return f"Kafka does not acknowledge partition {', '.join(map(str, stalled))} of {self._topic}."
        return self._away

    def append(self, key: bytes, value: bytes, headers: Headers, timestamp: int) -> asyncio.Future[None]:
        """Puts an event into its partition's next batch. Raises NotKept."""
        if self._away is not None or self._lanes is None:
            raise NotKept("kafka_unavailable", self._away or NOT_YET)
        return self._lanes.append(key, value, headers, timestamp)

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(EXPIRE_SECONDS)
            if self._lanes is not None:
                self._lanes.expire()

    async def _keep_connected(self) -> None:
        """Connects, watches until the producer is of no more use, and begins again."""
        while True:
            try:
                lanes = await self._connect()
                await self._watch(lanes)
            except (KafkaError, OSError, TimeoutError) as error:
                self._tell(_cause(error, self._topic))
            except Exception as error:  # a fault in the client: try again, as with every other
                log.exception("The Kafka client failed.", exc_info=error)
                self._tell("The Kafka client failed.")
            await self._disconnect()
            await asyncio.sleep(PROBE_AWAY_SECONDS)

    async def _connect(self) -> Lanes:
        """Raises KafkaError, OSError or TimeoutError when there is no Kafka or no such topic."""
        self._producer = AIOKafkaProducer(**self._options)
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            await self._producer.start()
            partitions = await self._ask()
            await self._producer.partitions_for(self._topic)  # or the first batch would wait for it
        self._broken.clear()
        lanes = self._lanes = Lanes(
            self._producer,
            self._topic,
            partitions,
            timeout=self._timeout,
            most=self._most,
            broken=self._broken.set,
        )
        self._tell(None)
        return lanes

    async def _ask(self) -> int:
        """How many partitions the topic has, asked of any broker. Raises KafkaError."""
        cluster = await self._producer.client.fetch_all_metadata()
        partitions = cluster.partitions_for_topic(self._topic)
        if not partitions:
            raise UnknownTopicOrPartitionError
        return len(partitions)

    async def _watch(self, lanes: Lanes) -> None:
        """Asks Kafka every few seconds. Returns when the producer has to be made anew."""
        loop = asyncio.get_running_loop()
        answered = loop.time()
        while loop.time() - answered < FORGET_SECONDS:
            with suppress(TimeoutError):
                pause = PROBE_AWAY_SECONDS if self._away else PROBE_SECONDS
                await asyncio.wait_for(self._broken.wait(), pause)
                return
            try:
                async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                    if await self._ask() != lanes.count:
                        return
            except (KafkaError, OSError, TimeoutError) as error:
                self._tell(_cause(error, self._topic))
            else:
                self._tell(None)
                answered = loop.time()

    async def _disconnect(self) -> None:
        """Gives up what waits, and ends the producer even if Kafka is silent."""
        if self._away is None:
            self._tell(SILENT)
        lanes, self._lanes = self._lanes, None
        if lanes is not None:
            lanes.close()
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await producer.flush()
                await producer.stop()
        except Exception:
            # aiokafka's stop would wait for its batches for ever; nobody else waits for them any more.
            producer._closed = True
            with suppress(Exception):
                await asyncio.wait_for(producer._sender.close(), CLOSE_SECONDS)
            await producer.client.close()

    def _tell(self, away: str | None) -> None:
        """Sets why Kafka cannot be used, and logs it when it changes."""
        if away != self._away:
            if away is None:
                log.info("Kafka is there; events are kept in %s.", self._topic)
            else:
                log.warning("%s Webhooks are answered with 503.", away)
        self._away = away


def _cause(error: Exception, topic: str) -> str:
    if isinstance(error, UnknownTopicOrPartitionError):
        return f"Kafka has no topic {topic}."
    if isinstance(error, _FORBIDDEN):
        return f"Kafka does not let the gateway write to {topic}: {type(error).__name__}."
    return SILENT
