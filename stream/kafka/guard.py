"""Keeping a stage from running while something else works on what is its own."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import GroupCoordinatorNotAvailableError

from stream.kafka.client import options
from stream.kafka.offsets import Offsets, OffsetsError
from stream.settings import Kafka

log = logging.getLogger(__name__)

NAME = "revstream-guard"
JOIN_SECONDS = 60.0
LOOK_SECONDS = 1.0
DAY_MS = 24 * 3600 * 1000


class _Assignor(RoundRobinPartitionAssignor):  # type: ignore[misc]
    """One that no stage has, so that the broker takes nobody else into the group meanwhile
    (INCONSISTENT_GROUP_PROTOCOL)."""

    name = NAME


class Guard:
    """A group's only member, which reads nothing: `async with` joins, and leaves.

    Who is killed is a member until its session times out. Raises OffsetsError when others are in the group.
    """

    def __init__(self, kafka: Kafka, cluster: Offsets, group: str, topic: str) -> None:
        self._cluster = cluster
        self._group = group
        self._topic = topic
        self._name = f"{NAME}-{uuid.uuid4().hex[:8]}"
        self._joined = asyncio.Event()
        self._consumer: Any = AIOKafkaConsumer(
            **{**options(kafka), "client_id": self._name},
            group_id=group,
            enable_auto_commit=False,
            partition_assignment_strategy=(_Assignor,),
            session_timeout_ms=int(1000 * kafka.session_timeout_seconds),
            heartbeat_interval_ms=int(250 * kafka.session_timeout_seconds),
            max_poll_interval_ms=DAY_MS,  # it never polls
        )

    async def __aenter__(self) -> Self:
        self._consumer.subscribe([self._topic], listener=_Listener(self._consumer, self._joined))
        try:
            await self._consumer.start()
            async with asyncio.timeout(JOIN_SECONDS):
                await self._joined.wait()
            await self.check()
        except TimeoutError:
            await self._consumer.stop()
            raise OffsetsError(f"Kafka did not take us into the group {self._group} in time.") from None
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def check(self) -> None:
        """Raises OffsetsError when the group is not ours alone any more."""
        group = await self._cluster.group(self._group)
        others = [one.client for one in group.members if one.client != self._name]
        if others or not group.members:
            raise OffsetsError(
                f"The group {self._group} is not guarded any more: {', '.join(others) or 'the session timed out'}. "
                "What is done is done; begin again when nobody is in it."
            )


async def unguarded(kafka: Kafka, group: str, stop: asyncio.Event) -> bool:
    """Waits until nobody guards a group. False when `stop` is set before that.

    A stage asks before it joins. Refused all the same, since the guard came in between or while the stage was
    thought dead, it ends; started again, it asks.
    """
    async with Offsets(kafka) as cluster:
        told = False
        while not stop.is_set():
            try:
                members = (await cluster.group(group)).members
            except GroupCoordinatorNotAvailableError:  # a fresh cluster has had no group yet
                members = ()
            if not any(one.client.startswith(NAME) for one in members):
                return True
            if not told:
                log.warning(
                    "The group %s is guarded, as by a rebuild; this stage begins when it is let go.", group
                )
                told = True
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_SECONDS)
    return False


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, consumer: Any, joined: asyncio.Event) -> None:
        self._consumer = consumer
        self._joined = joined

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        pass

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._consumer.pause(*assigned)
        self._joined.set()
