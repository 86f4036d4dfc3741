"""How far the groups are behind, in records and in seconds.

Measured by clients of its own: a consumer that stalls would freeze its own idea of the lag. The projector and
the writer both watch all groups, so that one of them being down does not hide it (take the maximum).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from stream import metrics, records, topics
from stream.kafka import progress
from stream.kafka.client import options
from stream.settings import Kafka

log = logging.getLogger(__name__)

GROUPS: Mapping[str, tuple[str, ...]] = {
    topics.PROJECTOR_GROUP: (topics.STRIPE_EVENTS, topics.SALESFORCE_RESULTS, topics.STRIPE_CATALOGUE),
    topics.WRITER_GROUP: (topics.SALESFORCE_WRITES,),
    topics.NOTIFIER_GROUP: (topics.NOTICES,),
}
EVERY_SECONDS = 5.0
FETCH_MS = 1000


def behind(committed: int, start: int, end: int) -> int:
    """Records not yet committed; what retention has already removed cannot be read any more."""
    return max(0, end - max(committed, start))


class LagWatch:
    """Sets the lag gauges every few seconds; `measure()` gives the lags once."""

    def __init__(self, kafka: Kafka) -> None:
        self._options = options(kafka)
        self._admin: Any = None
        self._reader: Any = None

    async def start(self) -> None:
        """Connects. Raises KafkaConnectionError."""
        self._admin = AIOKafkaAdminClient(**self._options)
        self._reader = AIOKafkaConsumer(**self._options, enable_auto_commit=False, max_poll_records=1)
        await self._admin.start()
        await self._reader.start()

    async def stop(self) -> None:
        """Disconnects."""
        await self._reader.stop()
        await self._admin.close()

    async def run(self) -> None:
        """Measures until cancelled; a measurement that fails is tried again at the next turn."""
        while True:
            try:
                for group in GROUPS:
                    await self._export(group)
                metrics.DEAD_LETTER_RECORDS.set(await self.kept(topics.DEAD_LETTERS))
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("The lag cannot be measured: %s", type(error).__name__)
            await asyncio.sleep(EVERY_SECONDS)

    async def measure(self, group: str) -> dict[TopicPartition, tuple[int, int]]:
        """By partition: records behind, and the offset of the first of them."""
        partitions = await self._partitions(*GROUPS[group])
        if not partitions:  # nobody has created the topics yet
            return {}
        committed = await self._admin.list_consumer_group_offsets(group, partitions=partitions)
        start = await self._reader.beginning_offsets(partitions)
        end = await self._reader.end_offsets(partitions)
        lags = {}
        for tp in partitions:
            at = committed[tp].offset if tp in committed else -1
            lags[tp] = (behind(at, start[tp], end[tp]), max(at, start[tp]))
        return lags

    async def kept(self, topic: str) -> int:
        """How many records a topic holds; retention has taken the rest."""
        partitions = await self._partitions(topic)
        if not partitions:
            return 0
        start = await self._reader.beginning_offsets(partitions)
        end = await self._reader.end_offsets(partitions)
        return sum(end[tp] - start[tp] for tp in partitions)

    async def _partitions(self, *names: str) -> list[TopicPartition]:
        return [
            TopicPartition(topic["topic"], part["partition"])
            for topic in await self._admin.describe_topics(list(names))
            for part in topic["partitions"]
        ]

    async def _export(self, group: str) -> None:
        if group == topics.NOTIFIER_GROUP and not await self._admin.list_consumer_group_offsets(group):
            return  # nobody has ever run a notifier, and notices need not be told
        for tp, (behind_, first) in (await self.measure(group)).items():
            labels = (group, tp.topic, str(tp.partition))
            metrics.LAG_RECORDS.labels(*labels).set(behind_)
            ages = {records.LIVE: 0.0, records.REPLAYED: 0.0}
            if behind_ and (waiting := await self._record(tp, first)):
                ages[await self._phase(waiting)] = max(0.0, time.time() - waiting.timestamp / 1000)
            for phase, age in ages.items():
                metrics.LAG_SECONDS.labels(*labels, phase).set(age)

    async def _phase(self, waiting: Any) -> str:
        """Whether a record is of a replay: it says so, or was read before."""
        again = records.REPLAY in waiting.headers
        if not again and waiting.topic in progress.KEPT:
            kept = TopicPartition(progress.KEPT[waiting.topic], waiting.partition)
            end = (await self._reader.end_offsets([kept]))[kept]
            last = await self._record(kept, end - 1) if end else None
            again = last is not None and waiting.offset < progress.read(last.value)
        return records.phase(replay=again)

    async def _record(self, tp: TopicPartition, offset: int) -> Any:
        """The record at an offset; None when it cannot be read in a second."""
        self._reader.assign([tp])
        self._reader.seek(tp, offset)
        fetched = await self._reader.getmany(tp, timeout_ms=FETCH_MS, max_records=1)
        return next(iter(fetched.get(tp, ())), None)
