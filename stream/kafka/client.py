"""How every Kafka client of ours connects, and the topics they need."""

from __future__ import annotations

import ssl
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from stream.settings import Kafka, missing
from stream.topics import TOPICS, Topic


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
        **sasl,
    }


async def create_topics(kafka: Kafka, topics: tuple[Topic, ...] = TOPICS) -> None:
    """Creates the topics that are missing; those that exist stay as they are.

    Raises KafkaError when the cluster refuses one for another reason.
    """
    admin = AIOKafkaAdminClient(**options(kafka))
    await admin.start()
    try:
        present = set(await admin.list_topics())
        for topic in topics:
            if topic.name not in present:
                await _create(admin, topic, kafka)
    finally:
        await admin.close()


async def _create(admin: Any, topic: Topic, kafka: Kafka) -> None:
    wanted = NewTopic(
        name=topic.name,
        num_partitions=kafka.partitions if topic.partitioned else 1,
        replication_factor=kafka.replication_factor,
        topic_configs=topic.config,
    )
    answer = await admin.create_topics([wanted])
    for name, code, *message in answer.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):  # another process may have been faster
            raise KafkaError(f"Kafka refuses to create the topic {name}: error {code} {message}.")
