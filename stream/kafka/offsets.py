"""A group's offsets in the cluster: read, and moved while nobody is in the group."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec
from aiokafka import AIOKafkaConsumer, OffsetAndMetadata, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from stream.kafka.client import options
from stream.kafka.plan import Move, Place, Position
from stream.settings import Kafka

READ_SECONDS = 10.0
POLL_MS = 200
LOOK_SECONDS = 0.5

# A group that has no members: "Empty", or "Dead" where it has expired or never was (and on Event Hubs).
INACTIVE = ("Empty", "Dead")


class Member(msgspec.Struct, frozen=True):
    """A process in a group."""

    id: str
    client: str
    host: str


class Group(msgspec.Struct, frozen=True):
    """A group's state in the coordinator's words, and who is in it."""

    state: str
    members: tuple[Member, ...]

    @property
    def active(self) -> bool:
        """Whether its offsets cannot be moved now."""
        return bool(self.members) or self.state not in INACTIVE


class OffsetsError(Exception):
    """Kafka did not do what was asked. The message says which group or partition, and what to do."""


class Offsets:
    """The cluster as one command sees it; `async with` connects. Raises KafkaError when it does not answer."""

    def __init__(self, kafka: Kafka) -> None:
        self._options = options(kafka)
        self._admin: Any = AIOKafkaAdminClient(**self._options)
        self._reader: Any = AIOKafkaConsumer(**self._options, enable_auto_commit=False)

    async def __aenter__(self) -> Self:
        try:
            await self._admin.start()
            await self._reader.start()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._reader.stop()
        await self._admin.close()

    async def cluster(self) -> str:
        """The cluster's ID."""
        return str((await self._admin.describe_cluster())["cluster_id"])

    async def group(self, name: str) -> Group:
        """Who is in a group."""
        (answer,) = await self._admin.describe_consumer_groups([name])
        error, _, state, _, _, members = answer.groups[0][:6]
        if error:
            raise OffsetsError(f"Kafka does not tell of the group {name}: error {error}.")
        return Group(state, tuple(Member(one[0], one[-4], one[-3].lstrip("/")) for one in members))

    async def positions(self, group: str, topics: Iterable[str], *, times: bool = False) -> list[Position]:
        """Every partition of the topics; with `times` the record at the committed offset is read for its time."""
        found = await self._admin.describe_topics(list(topics))
        partitions = sorted(
            TopicPartition(topic["topic"], part["partition"])
            for topic in found
            for part in topic["partitions"]
        )
        missing = sorted({*topics} - {tp.topic for tp in partitions})
        if missing:
            raise OffsetsError(f"The cluster has no topic {', '.join(missing)}.")
        committed = await self._admin.list_consumer_group_offsets(group, partitions=partitions)
        start = await self._reader.beginning_offsets(partitions)
        end = await self._reader.end_offsets(partitions)
        positions = [
            Position(tp.topic, tp.partition, start[tp], end[tp], _committed(committed.get(tp)))
            for tp in partitions
        ]
        if not times:
            return positions
        at = {
            (one.topic, one.partition): max(one.at, one.start)
            for one in positions
            if one.lag and max(one.at, one.start) < one.end
        }
        stamps = await self.times(at)
        return [
            msgspec.structs.replace(one, committed_at=stamps.get((one.topic, one.partition)))
            for one in positions
        ]

    async def times(self, at: Mapping[Place, int]) -> dict[Place, int]:
        """The time (epoch milliseconds) of the first record from each offset on. A record that does not come in
        READ_SECONDS is left out."""
        found: dict[Place, int] = {}
        async for place, record in self._records(at, dict.fromkeys(at, 1)):
            found.setdefault(place, record.timestamp)
        return found

    async def by_time(self, positions: Sequence[Position], at: int) -> dict[Place, int | None]:
        """The first offset whose record is of this time (epoch milliseconds) or later; None without one."""
        asked = {TopicPartition(one.topic, one.partition): at for one in positions}
        found = await self._reader.offsets_for_times(asked)
        return {(tp.topic, tp.partition): hit.offset if hit else None for tp, hit in found.items()}

    async def earliest(self, positions: Sequence[Position]) -> dict[Place, int]:
        """The time of the oldest record that each partition still has."""
        return await self.times({(p.topic, p.partition): p.start for p in positions if p.end > p.start})

    async def types(
        self, moves: Sequence[Move], bound: int
    ) -> tuple[Counter[str], Counter[Place], set[bytes]]:
        """Records to be read again, by type of event or object; how many of each partition were looked
        at, and the different keys they have. At most `bound` records are read, from the beginning of each range."""
        ranges = {(m.topic, m.partition): m.again for m in moves if m.again > 0}
        each = max(1, bound // max(1, len(ranges)))
        counts = {place: min(again, each) for place, again in ranges.items()}
        types: Counter[str] = Counter()
        read: Counter[Place] = Counter()
        keys: set[bytes] = set()
        at = {(m.topic, m.partition): m.target for m in moves if m.again > 0}
        async for place, record in self._records(at, counts):
            types[_type(record)] += 1
            read[place] += 1
            keys.add(record.key or b"")
        return types, read, keys

    async def _records(self, at: Mapping[Place, int], counts: Mapping[Place, int]) -> Any:
        """So many records of each partition from its offset on, until READ_SECONDS pass without one."""
        left = {TopicPartition(*place): counts[place] for place in at}
        if not left:
            return
        self._reader.assign(list(left))
        for tp in left:
            self._reader.seek(tp, at[tp.topic, tp.partition])
        quiet = time.monotonic()
        while left and time.monotonic() - quiet < READ_SECONDS:
            for tp, records in (await self._reader.getmany(*left, timeout_ms=POLL_MS)).items():
                quiet = time.monotonic()
                for record in records[: left[tp]]:
                    yield (tp.topic, tp.partition), record
                left[tp] -= len(records)
                if left[tp] <= 0:
                    del left[tp]
                    self._reader.pause(tp)

    async def until_inactive(self, group: str, seconds: float) -> Group:
        """Waits until nobody is in the group, at most so long; gives what it was last."""
        deadline = time.monotonic() + seconds
        while (now := await self.group(group)).active and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
        return now

    async def move(self, group: str, moves: Sequence[Move]) -> None:
        """Commits the targets and reads them back. Raises OffsetsError when Kafka refuses or holds others.

        A commit from outside of the group is only taken while the group has no members.
        """
        wanted = {TopicPartition(m.topic, m.partition): m.target for m in moves}
        consumer = AIOKafkaConsumer(**self._options, group_id=group, enable_auto_commit=False)
        try:
            await consumer.start()
            consumer.assign(list(wanted))
            await consumer.commit({tp: OffsetAndMetadata(at, "") for tp, at in wanted.items()})
        except KafkaError as error:
            raise OffsetsError(
                f"Kafka refuses to move {group}: {type(error).__name__}. Somebody may have joined it."
            ) from error
        finally:
            await consumer.stop()
        held = await self._admin.list_consumer_group_offsets(group, partitions=list(wanted))
        wrong = [
            f"{tp.topic}:{tp.partition} is at {_committed(held.get(tp))}, not {at}"
            for tp, at in wanted.items()
            if _committed(held.get(tp)) != at
        ]
        if wrong:
            raise OffsetsError(f"{group} was moved, but Kafka now says: {'; '.join(wrong)}.")


def _committed(held: Any) -> int | None:
    return held.offset if held is not None and held.offset >= 0 else None


def _type(record: Any) -> str:
    """What a record is of: the type of an event, which is a header, or the object of a write, whose key is
    `Account:cus_…`."""
    told = dict(record.headers).get("type") or (record.key or b"").partition(b":")[0]
    return told.decode(errors="replace") or "(none)"
