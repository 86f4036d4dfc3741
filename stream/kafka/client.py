"""How every Kafka client of ours connects, and the topics they need."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from stream.kafka import connections
from stream.settings import Kafka, missing
from stream.topics import TOPICS, Topic

connections.guard()

# aiokafka asks for topics when this has passed, also when its last question failed, after which it knows of none:
# whoever joined a group then had no partitions for as long, by default 300 s. A broker answers in a millisecond.
METADATA_MS = 10_000

# A new topic has its leaders within some 0.1 s, and on a loaded broker within seconds.
USABLE_TRIES = 300
USABLE_PAUSE_SECONDS = 0.1


def ssl_context(kafka: Kafka) -> ssl.SSLContext | None:
    """TLS as the settings ask for it: our CA or the system's, and a client certificate if there is one."""
    if "SSL" not in kafka.security_protocol:
        return None
    context = ssl.create_default_context(cafile=str(kafka.ca_file) if kafka.ca_file else None)
    if kafka.cert_file:
        context.load_cert_chain(kafka.cert_file, kafka.key_file)
    return context


def options(kafka: Kafka) -> dict[str, Any]:
    """Keyword arguments that every aiokafka client takes.

    Raises SettingError when no broker is named or SASL lacks its user or password.
    """
    if not kafka.brokers:
        raise missing("kafka", "brokers", "no broker is named")
    sasl: dict[str, Any] = {}
    if kafka.security_protocol.startswith("SASL"):
        if not kafka.sasl_username:
            raise missing("kafka", "sasl_username", f"{kafka.security_protocol} needs a user")
        if not kafka.sasl_password:
            raise missing("kafka", "sasl_password", f"{kafka.security_protocol} needs a password")
        sasl = {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": kafka.sasl_password.get_secret_value(),
        }
    return {
        "bootstrap_servers": list(kafka.brokers),
        "security_protocol": kafka.security_protocol,
        "ssl_context": ssl_context(kafka),
        "client_id": "revstream",
        "metadata_max_age_ms": METADATA_MS,
        **sasl,
    }


async def create_topics(kafka: Kafka, topics: tuple[Topic, ...] = TOPICS) -> None:
    """Creates the topics that are missing, and returns once each can be used; those that exist stay as they are.

    Raises KafkaError when the cluster refuses one, SettingError when one exists with another partition count.
    """
    admin = AIOKafkaAdminClient(**options(kafka))
    await admin.start()
    try:
        present = set(await admin.list_topics())
        for topic in topics:
            if topic.name not in present:
                await _create(admin, topic, kafka)
        await _usable(admin, {topic.name: _partitions(topic, kafka) for topic in topics})
    finally:
        await admin.close()


def _partitions(topic: Topic, kafka: Kafka) -> int:
    return kafka.partitions if topic.partitioned else 1


async def _usable(admin: Any, wanted: Mapping[str, int]) -> None:
    """Waits until every partition has a leader: Kafka answers a creation before all brokers know of it."""
    for _ in range(USABLE_TRIES):
        counts = {
            topic["topic"]: len(topic["partitions"])
            for topic in await admin.describe_topics(list(wanted))
            if all(partition["leader"] >= 0 for partition in topic["partitions"])
        }
        for name, count in counts.items():
            if count not in (0, wanted[name]):
                raise missing(
                    "kafka",
                    "partitions",
                    f"the topic {name} has {count} partitions, not {wanted[name]}; records would change their "
                    f"partition, so the count cannot be changed here",
                )
        if counts == wanted:
            return
        await asyncio.sleep(USABLE_PAUSE_SECONDS)
    late = ", ".join(name for name, count in wanted.items() if counts.get(name) != count)
    raise KafkaError(f"Kafka has not made these topics usable: {late}. See the brokers' log.")


async def _create(admin: Any, topic: Topic, kafka: Kafka) -> None:
    wanted = NewTopic(
        name=topic.name,
        num_partitions=_partitions(topic, kafka),
        replication_factor=kafka.replication_factor,
        topic_configs=topic.config,
    )
    answer = await admin.create_topics([wanted])
    for name, code, *message in answer.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):  # another process may have been faster
            raise KafkaError(f"Kafka refuses to create the topic {name}: error {code} {message}.")
