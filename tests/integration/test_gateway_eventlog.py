"""The event log's two makes, in memory and in Kafka, keep to the same promises; and what only Kafka can do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from stream.gateway import kafkalog
from stream.gateway.eventlog import EventLog, NotKept
from stream.gateway.kafkalog import KafkaLog
from stream.kafka.broker import Broker
from stream.kafka.client import options
from stream.settings import Kafka
from stream.topics import STRIPE_EVENTS
from tests.gateway import FakeLog
from tests.integration.test_gateway import records

pytestmark = pytest.mark.integration

DEADLINE = 120.0


@asynccontextmanager
async def kafka_log(brokers: str, timeout: float = 30, most: int = 5000) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(options(Kafka(brokers=[brokers])), STRIPE_EVENTS, timeout=timeout, most=most)
    log.start()
    try:
        yield log
    finally:
        await log.stop()


async def ready(log: EventLog, wanted: bool = True) -> None:
    async with asyncio.timeout(DEADLINE):
        while (log.trouble() is None) != wanted:  # noqa: ASYNC110  readiness is asked for, not told
            await asyncio.sleep(0.02)


def append(log: EventLog, number: int, key: str = "cus_1", value: bytes = b"{}") -> asyncio.Future[None]:
    return log.append(key.encode(), value, [("number", b"%d" % number)], int(time.time() * 1000))


async def refused(call: Callable[[], asyncio.Future[None]]) -> str:
    with pytest.raises(NotKept) as caught:
        await call()
    assert str(caught.value).endswith(".")
    return caught.value.reason


# Both


async def keeps_its_promises(log: EventLog) -> None:
    """What every event log does."""
    await asyncio.gather(*(append(log, number, f"cus_{number % 7}") for number in range(500)))
    await append(log, 500, value=b"x" * 1024 * 1024)
    gone = append(log, 501)
    gone.cancel()
    await append(log, 502)
    assert log.trouble() is None


async def test_the_log_in_memory_keeps_them() -> None:
    log = FakeLog()
    await keeps_its_promises(log)
    of_one = [event.headers["number"] for event in log.events if event.key == b"cus_1"]
    assert of_one == sorted(of_one, key=int)


async def test_the_log_in_kafka_keeps_them(topics: str) -> None:
    async with kafka_log(topics) as log:
        assert await refused(lambda: append(log, 0)) == "kafka_unavailable"
        await ready(log)
        await keeps_its_promises(log)
    found = await records(topics)
    assert len(found) == 503
    for customer in {record.key for record in found}:
        of_one = [int(dict(record.headers)["number"]) for record in found if record.key == customer]
        assert of_one == sorted(of_one)


# Kafka


async def test_stopping_waits_for_the_acks(topics: str) -> None:
    async with kafka_log(topics) as log:
        await ready(log)
        kept = [append(log, number, f"cus_{number}") for number in range(300)]
        await log.stop()
        assert all(each.done() and each.exception() is None for each in kept)
        assert await refused(lambda: append(log, 300)) == "kafka_unavailable"
    assert len(await records(topics)) == 300


async def test_a_producer_out_of_sequence_is_replaced(topics: str) -> None:
    async with kafka_log(topics) as log:
        await ready(log)
        await append(log, 1)
        first = log._producer
        # As after a lost batch: the broker has not seen the sequence numbers before the next ones.
        first._txn_manager._sequence_numbers.update(
            {tp: number + 5 for tp, number in first._txn_manager._sequence_numbers.items()}
        )
        assert await refused(lambda: append(log, 2)) == "kafka_unavailable"
        await ready(log, wanted=False)
        await ready(log)
        assert log._producer is not first
        await append(log, 3)
    assert [dict(record.headers)["number"] for record in await records(topics)] == [b"1", b"3"]


async def test_after_a_long_outage_the_client_begins_anew(
    topics: str, broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kafkalog, "FORGET_SECONDS", 1.0)
    monkeypatch.setattr(kafkalog, "PROBE_SECONDS", 0.2)
    async with kafka_log(topics, timeout=3) as log:
        await ready(log)
        await append(log, 1)
        first = log._producer
        broker.stop()
        try:
            waiting = [append(log, number, f"cus_{number}") for number in range(2, 50)]
            reasons = {await refused(lambda each=each: each) for each in waiting}  # type: ignore[misc]
            assert reasons <= {"kafka_timeout", "kafka_unavailable"}
            async with asyncio.timeout(DEADLINE):
                while log._producer is first:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        finally:
            broker.launch()
            await asyncio.to_thread(broker.await_answer)
        await ready(log)
        await append(log, 50)
    numbers = [int(dict(record.headers)["number"]) for record in await records(topics)]
    assert {1, 50} <= set(numbers)
    assert len(numbers) == len(set(numbers))
    assert not [record for record in caplog.records if record.name == "asyncio"], "no task was left behind"


async def test_events_that_cannot_wait_are_refused_and_the_rest_is_kept(topics: str) -> None:
    async with kafka_log(topics, most=10) as log:
        await ready(log)
        kept = [append(log, number) for number in range(10)]
        assert await refused(lambda: append(log, 10)) == "overloaded"
        await asyncio.gather(*kept)
        await append(log, 11)
    assert len(await records(topics)) == 11
