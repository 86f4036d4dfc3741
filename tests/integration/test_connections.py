"""aiokafka's connections on uvloop, when the other side has reset them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from stream.kafka.connections import guard, poll
from stream.topics import CONTROL


async def _write_to_a_closed_connection(port: int) -> None:
    guard()
    connection: Any = await create_conn("127.0.0.1", port)
    connection._writer.transport.abort()
    # Closed by the loop, and not yet noticed by who reads.
    while not connection._writer.transport.is_closing():  # noqa: ASYNC110
        await asyncio.sleep(0)
    connection._read_task.cancel()
    await asyncio.wait([connection._read_task])
    try:
        with pytest.raises(KafkaConnectionError):
            await connection.send(MetadataRequest([]))
        assert not connection.connected()
    finally:
        connection.close()


def test_a_connection_that_was_reset_is_a_broken_one_on_uvloop(kafka: str) -> None:
    uvloop.run(_write_to_a_closed_connection(int(kafka.rpartition(":")[2])))


async def test_a_consumer_that_fetches_no_more_is_an_error(
    topics: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=topics)
    await consumer.start()
    consumer.assign([TopicPartition(CONTROL, 0)])
    try:
        assert await poll(consumer, 10) == {}
        ended = asyncio.create_task(asyncio.sleep(0))
        await ended
        monkeypatch.setattr(consumer._fetcher, "_fetch_task", ended)
        with pytest.raises(KafkaError, match="fetches no more"):
            await poll(consumer, 10)
    finally:
        monkeypatch.undo()
        await consumer.stop()
