"""Batching events for Kafka, on a producer in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import OutOfOrderSequenceNumber
from aiokafka.producer.message_accumulator import BatchBuilder

from stream.gateway import lanes
from stream.gateway.eventlog import NotKept
from stream.gateway.lanes import Lanes

PARTITIONS = 4


class Producer:
    """Keeps what is sent, and acknowledges when it is told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, BatchBuilder, asyncio.Future[None]]] = []
        self.refuse: Exception | None = None

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(64 * 1024, 0)

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> Any:
        assert topic == "topic"
        if self.refuse is not None:
            raise self.refuse
        ack = asyncio.get_running_loop().create_future()
        self.sent.append((partition, batch, ack))
        return ack

    def acknowledge(self, error: Exception | None = None) -> None:
        for _, _, ack in self.sent:
            if ack.done():
                continue
            if error is None:
                ack.set_result(None)
            else:
                ack.set_exception(error)

    @property
    def counts(self) -> list[int]:
        return [batch.record_count() for _, batch, _ in self.sent]


class Case:
    def __init__(self, timeout: float = 60, most: int = 1000) -> None:
        self.producer = Producer()
        self.broken = 0
        self.lanes = Lanes(
            self.producer, "topic", PARTITIONS, timeout=timeout, most=most, broken=self._count_broken
        )

    def _count_broken(self) -> None:
        self.broken += 1

    def append(self, key: bytes = b"cus_1", value: bytes = b"{}") -> asyncio.Future[None]:
        return self.lanes.append(key, value, [("id", b"evt_1")], 1)


async def turns() -> None:
    """Lets everything run that is ready to, and what that makes ready."""
    for _ in range(10):
        await asyncio.sleep(0)


async def refused(future: asyncio.Future[None]) -> str:
    with pytest.raises(NotKept) as caught:
        await future
    return caught.value.reason


async def test_a_lone_event_is_sent_at_once_and_kept_with_the_ack() -> None:
    case = Case()
    kept = case.append()
    await turns()
    assert case.producer.counts == [1]
    assert not kept.done()
    case.producer.acknowledge()
    await kept
    assert case.lanes.waiting == 0


async def test_what_comes_while_a_batch_is_in_flight_becomes_the_next_one() -> None:
    case = Case()
    first = case.append()
    await turns()
    others = [case.append() for _ in range(100)]
    await turns()
    assert case.producer.counts == [1]
    case.producer.acknowledge()
    await first
    await turns()
    assert case.producer.counts == [1, 100]
    assert not any(other.done() for other in others)
    case.producer.acknowledge()
    await asyncio.gather(*others)


async def test_a_partition_does_not_wait_for_another() -> None:
    case = Case()
    keys = {case.lanes._lane(key).number: key for key in (b"cus_%d" % n for n in range(50))}
    first = case.append(keys[0])
    await turns()
    case.append(keys[1])
    while len(case.producer.sent) < 2:  # noqa: ASYNC110  gathering takes its own time
        await asyncio.sleep(0.001)
    assert not first.done()
    assert [partition for partition, _, _ in case.producer.sent] == [0, 1]


async def test_a_full_batch_leaves_the_rest_for_the_next_and_a_large_event_goes_alone() -> None:
    case = Case()
    kept = [case.append(value=b"x" * 30_000) for _ in range(5)] + [case.append(value=b"x" * 500_000)]
    for _ in range(20):
        await turns()
        case.producer.acknowledge()
    await asyncio.gather(*kept)
    assert case.producer.counts == [2, 2, 1, 1]


async def test_no_more_events_wait_than_may() -> None:
    case = Case(most=3)
    kept = [case.append() for _ in range(3)]
    with pytest.raises(NotKept) as caught:
        case.append()
    assert caught.value.reason == "overloaded"
    await turns()
    case.producer.acknowledge()
    await asyncio.gather(*kept)
    case.append()


async def test_no_more_bytes_wait_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "WAITING_BYTES", 1000)
    case = Case()
    kept = case.append(value=b"x" * 1000)
    with pytest.raises(NotKept) as caught:
        case.append()
    assert caught.value.reason == "overloaded"
    await turns()
    case.producer.acknowledge()
    await kept
    case.append()


async def test_an_event_without_ack_times_out_and_its_partition_takes_no_more_until_it_is_back() -> None:
    case = Case(timeout=0)
    kept, waiting = case.append(), None
    await turns()
    waiting = case.append()
    case.lanes.expire()
    assert await refused(kept) == "kafka_timeout"
    assert await refused(waiting) == "kafka_timeout"
    assert case.lanes.waiting == 0
    number = case.lanes._lane(b"cus_1").number
    assert case.lanes.stalled == [number]
    with pytest.raises(NotKept, match=f"partition {number} "):
        case.append()
    elsewhere = next(
        key for key in (b"cus_%d" % n for n in range(50)) if case.lanes._lane(key).number != number
    )
    case.append(elsewhere)
    case.producer.acknowledge()
    await turns()
    assert case.lanes.stalled == []
    case.append()
    assert case.broken == 0


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_refused_batch_fails_every_event_in_it_and_breaks_the_producer(at_once: bool) -> None:
    case = Case()
    case.producer.refuse = OutOfOrderSequenceNumber() if at_once else None
    kept = [case.append() for _ in range(3)]
    await turns()
    case.producer.acknowledge(OutOfOrderSequenceNumber())
    assert [await refused(each) for each in kept] == ["kafka_unavailable"] * 3
    assert case.broken == 1
    assert case.lanes.waiting == 0


async def test_closing_gives_up_what_waits_and_later_answers_change_nothing() -> None:
    case = Case()
    sent = case.append()
    await turns()
    waiting = case.append()
    case.lanes.close()
    assert await refused(sent) == await refused(waiting) == "kafka_unavailable"
    case.producer.acknowledge(OutOfOrderSequenceNumber())
    await turns()
    assert case.broken == 0
    assert case.lanes.waiting == 0


async def test_a_request_that_went_away_does_not_hold_up_the_others() -> None:
    case = Case()
    gone, kept = case.append(), case.append()
    gone.cancel()
    await turns()
    case.producer.acknowledge()
    await kept
    assert case.lanes.waiting == 0


async def test_settled_waits_for_the_acks() -> None:
    case = Case()
    await case.lanes.settled(60)
    case.append()
    settling = asyncio.create_task(case.lanes.settled(60))
    await turns()
    assert not settling.done()
    case.producer.acknowledge()
    await settling
