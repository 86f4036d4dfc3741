"""Reading a topic from here to there, for commands that look for something in it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from stream.kafka.client import options
from stream.kafka.offsets import OffsetsError
from stream.settings import Kafka

POLL_MS = 200
QUIET_SECONDS = 10.0

Ranges = dict[int, tuple[int, int]]  # partition → first offset, offset after the last


async def ranges(kafka: Kafka, topic: str, since: int | None = None) -> Ranges:
    """What a topic holds now, from the first record of a time (epoch milliseconds) on."""
    admin = AIOKafkaAdminClient(**options(kafka))
    reader: Any = AIOKafkaConsumer(**options(kafka), enable_auto_commit=False)
    try:
        await admin.start()
        await reader.start()
        (told,) = await admin.describe_topics([topic])
        partitions = [TopicPartition(topic, part["partition"]) for part in told["partitions"]]
        if not partitions:
            raise OffsetsError(f"The cluster has no topic {topic}.")
        start = await reader.beginning_offsets(partitions)
        end = await reader.end_offsets(partitions)
        if since is not None:
            found = await reader.offsets_for_times(dict.fromkeys(partitions, since))
            start = {tp: found[tp].offset if found[tp] else end[tp] for tp in partitions}
    finally:
        with suppress(Exception):
            await reader.stop()
        await admin.close()
    return {tp.partition: (start[tp], end[tp]) for tp in sorted(partitions)}


async def scan(kafka: Kafka, topic: str, wanted: Mapping[int, tuple[int, int]]) -> AsyncIterator[Any]:
    """Every record in the ranges, in order within a partition. Raises OffsetsError when Kafka falls silent."""
    left = {
        TopicPartition(topic, partition): until
        for partition, (from_, until) in wanted.items()
        if from_ < until
    }
    if not left:
        return
    reader: Any = AIOKafkaConsumer(**options(kafka), enable_auto_commit=False)
    try:
        await reader.start()
        reader.assign(list(left))
        for tp in left:
            reader.seek(tp, wanted[tp.partition][0])
        quiet = time.monotonic()
        while left:
            for tp, records in (await reader.getmany(*left, timeout_ms=POLL_MS)).items():
                for record in records:
                    if record.offset < left[tp]:
                        yield record
                quiet = time.monotonic()  # who takes the records may take long
            # A position moves past records that compaction has removed.
            left = {tp: until for tp, until in left.items() if await reader.position(tp) < until}
            if time.monotonic() - quiet > QUIET_SECONDS:
                raise OffsetsError(f"Kafka sent nothing of {topic} for {QUIET_SECONDS:.0f} s; try again.")
    finally:
        await reader.stop()
