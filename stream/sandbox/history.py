"""What a run left on Kafka's topics: which events were kept, and what became of each."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream import topics
from stream.deadletter import PREFIX
from stream.kafka.client import options
from stream.records import decode_notice, decode_result
from stream.settings import Kafka


class History(msgspec.Struct):
    """Event IDs by what became of them. `kept` is ID → type; `confirmed` is ID → milliseconds from the gateway's
    receipt to the first confirmation by Salesforce; `set_aside` are those of dead letters, which are counted by
    code. `refused` is routing key → record or event → code and message."""

    kept: dict[str, str] = {}
    confirmed: dict[str, int] = {}
    set_aside: set[str] = set()
    dead_letters: Counter[str] = msgspec.field(default_factory=Counter)
    refused: dict[str, dict[str, str]] = {}

    def percentile(self, share: float) -> float | None:
        """Seconds from receipt to confirmation of that share of the confirmed events."""
        times = sorted(self.confirmed.values())
        return round(times[min(len(times) - 1, int(share * len(times)))] / 1000, 3) if times else None


async def read(kafka: Kafka) -> History:
    """Reads the topics from their start to where they end now. Raises KafkaError."""
    history = History()
    for record in await _all(kafka, topics.STRIPE_EVENTS):
        headers = dict(record.headers)
        history.kept[headers["id"].decode()] = headers["type"].decode()
    for record in await _all(kafka, topics.SALESFORCE_RESULTS):
        result = decode_result(record.value)
        if result.error is not None:
            cause = f"{result.error.code}: {result.error.message}"
            history.refused.setdefault(result.account, {})[result.key] = cause
        for event in result.events:
            if result.outcome == "dead-lettered":
                history.set_aside.add(event.id)
            else:
                took = result.at - event.received_at
                history.confirmed[event.id] = min(took, history.confirmed.get(event.id, took))
    for record in await _all(kafka, topics.DEAD_LETTERS):
        headers = dict(record.headers)
        code, message = (headers.get(PREFIX + name, b"").decode() for name in ("code", "message"))
        history.dead_letters[code] += 1
        if identifier := headers.get("id"):
            history.set_aside.add(identifier.decode())
            about = history.refused.setdefault((record.key or b"").decode(), {})
            about[identifier.decode()] = f"{code}: {message}"
    return history


async def notices(kafka: Kafka) -> set[str]:
    """The IDs of all that people were to be told. Raises KafkaError."""
    return {decode_notice(record.value).id for record in await _all(kafka, topics.NOTICES)}


async def _all(kafka: Kafka, topic: str) -> list[Any]:
    """All records of a topic, partition by partition."""
    consumer = AIOKafkaConsumer(**options(kafka), enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())]
        if not partitions:
            partitions = [TopicPartition(topic, p) for p in range(kafka.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[Any] = []
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
        return found
    finally:
        await consumer.stop()
