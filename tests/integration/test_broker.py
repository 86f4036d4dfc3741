"""The embedded Kafka, by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream.kafka.broker import Broker, cluster_id
from stream.kafka.client import create_topics
from stream.settings import Kafka, SettingError
from stream.topics import TOPICS
from tests.integration.conftest import PARTITIONS


async def test_topics_are_as_the_table_says(topics: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=topics)
    await admin.start()
    described = {t["topic"]: t for t in await admin.describe_topics([t.name for t in TOPICS])}
    for topic in TOPICS:
        assert len(described[topic.name]["partitions"]) == (PARTITIONS if topic.partitioned else 1)
        answer = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name)])
        held = {entry[0]: entry[1] for entry in answer[0].resources[0][4]}
        assert {name: held[name] for name in topic.config} == topic.config
    await admin.close()


async def test_another_partition_count_is_refused(topics: str) -> None:
    with pytest.raises(SettingError, match=r"KAFKA_PARTITIONS: the topic .* has 4 partitions, not 5;"):
        await create_topics(Kafka(brokers=[topics], partitions=PARTITIONS + 1))


async def test_records_survive_a_kill_and_a_restart(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "kafka")
    broker.start()
    address = broker.address
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all", enable_idempotence=True)
    await producer.start()
    await producer.send_and_wait("kept", b"value")
    await producer.stop()

    assert broker.pid
    os.kill(broker.pid, signal.SIGKILL)
    broker.stop()
    broker = Broker(tmp_path / "kafka")
    broker.start()
    assert broker.address == address

    consumer = AIOKafkaConsumer("kept", bootstrap_servers=address, auto_offset_reset="earliest")
    await consumer.start()
    assert (await consumer.getone()).value == b"value"
    await consumer.stop()
    broker.stop()
    assert broker.pid is None


def test_kafka_dies_with_a_killed_parent(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from stream.kafka.broker import Broker\n"
        "b = Broker(Path(sys.argv[1])); b.start(); print(b.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE)
    assert parent.stdout
    kafka = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 120
    while Path(f"/proc/{kafka}").exists() and b"Z" not in Path(f"/proc/{kafka}/stat").read_bytes().split()[2]:
        assert time.monotonic() < deadline, "Kafka outlived its parent"
        time.sleep(0.05)


def test_a_cluster_id_is_never_taken_for_an_option() -> None:
    assert cluster_id(b"\xff" * 16)[0] != "-"
    assert {len(cluster_id(bytes([first]) * 16)) for first in range(256)} == {22}
    assert all(cluster_id(bytes([first]) + bytes(15))[0].isalnum() for first in range(256))
