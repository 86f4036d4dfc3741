"""The projector's Faust app: two agents that read chunks, and the two tables they keep.

One agent folds Stripe's events, the other learns what Salesforce answered. Both work on a partition's tables,
so the chunks of one partition are worked on one at a time, while other partitions go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

import faust
import msgspec
from faust.types import TP

from agents import fields, projector
from agents.events import State
from stream import deadletter, metrics, records, topics
from stream.control import Orders
from stream.kafka.batches import BatchProducer, Record
from stream.kafka.chunks import Chunk, ChunkSchema, chunks
from stream.kafka.client import options
from stream.kafka.control import ControlReader
from stream.kafka.rows import Rows
from stream.kafka.worker import faust_app
from stream.settings import Settings
from stream.stripe.api import StripeApi
from tables import customer_mapping, subscriptions
from tables.versions import Rank, Telling


class Projector:
    """The Faust app with everything it works with. `app` is what runs; `close()` comes after it has stopped."""

    def __init__(self, settings: Settings) -> None:
        fields.check(settings.mapping)
        self.settings = settings
        self.app = faust_app(
            topics.PROJECTOR_GROUP,
            settings.kafka,
            settings.revstream.state_dir / "tables",
            settings.projector.table_store,
        )
        self._producer = BatchProducer(options(settings.kafka))
        self._stripe = StripeApi(settings.stripe)
        self._lanes: dict[int, asyncio.Task[None]] = {}
        self._orders = Orders()
        self._mapping = self._table(customer_mapping.NAME, customer_mapping.decode)
        self._subscriptions = self._table(subscriptions.NAME, subscriptions.decode)
        self._agent(topics.STRIPE_EVENTS, self._project)
        self._agent(topics.SALESFORCE_RESULTS, self._learn)

    async def start(self) -> None:
        """Connects the producer; the app is started by its runner. Offsets are only moved while no projector
        runs, so replay windows are read once."""
        async with ControlReader(self.settings.kafka) as control:
            self._orders = control.orders
        await self._producer.start()

    async def close(self) -> None:
        """Flushes and disconnects."""
        await self._producer.stop()

    # Faust's parts

    def _table(self, name: str, decode: Callable[[bytes | None], Any]) -> Rows:
        """A table of raw bytes. An undecodable changelog record stops the worker; stock Faust drops it."""

        async def check(event: Any) -> None:
            metrics.RECOVERY_REMAINING.labels(name).set(self.app.tables.recovery.active_remaining_total())
            try:
                decode(event.value)
            except msgspec.DecodeError as error:
                message = event.message
                failure = ChangelogError(
                    f"The changelog of {name} cannot be read at partition {message.partition}, offset "
                    f"{message.offset}: {error}. Restore that record, or rebuild the table from the events."
                )
                await self.app.crash(failure)
                raise failure from None

        return Rows(
            self.app.Table(
                name,
                key_type=bytes,
                value_type=bytes,
                partitions=self.settings.kafka.partitions,
                on_changelog_event=check,
            )
        )

    def _agent(self, topic: str, work: Callable[[int, Chunk], Awaitable[None]]) -> None:
        async def agent(stream: faust.Stream) -> None:
            async for partition, chunk, done in chunks(stream):
                await self._in_lane(partition, work, chunk, done)

        self.app.agent(self.app.topic(topic, schema=ChunkSchema()), name=topic)(agent)

    async def _in_lane(
        self,
        partition: int,
        work: Callable[[int, Chunk], Awaitable[None]],
        chunk: Chunk,
        done: Callable[[], Any],
    ) -> None:
        """Starts the work on a chunk once the chunk before it, of the same partition, is done."""
        while before := self._lanes.get(partition):
            await asyncio.wait([before])
            if self._lanes.get(partition) is before:
                del self._lanes[partition]

        async def lane() -> None:
            try:
                await work(partition, chunk)
            except Exception as error:
                await self.app.crash(error)
                raise
            done()

        self._lanes[partition] = asyncio.create_task(lane())

    # Stripe's events

    async def _project(self, partition: int, chunk: Chunk) -> None:
        began = time.perf_counter()
        folded = projector.fold_chunk(chunk, partial(self._load, partition))
        await self._ask_stripe(folded)
        writes = list(projector.emit(folded, self.settings))
        replayed = [record for record in chunk if self._replayed(record)]
        metrics.EVENTS_REPLAYED.inc(len(replayed))
        changes = self._changes(partition, folded)
        sent = await self._producer.send(
            [
                *changes,
                *_write_records(partition, writes, {record.key for record in replayed}),
                *(_dead_letter(refused) for refused in folded.refused),
            ]
        )
        self._keep(partition, changes, sent)
        metrics.CHUNK_RECORDS.observe(len(chunk))
        metrics.CHUNK_DURATION.observe(time.perf_counter() - began)
        for (outcome, reason), count in folded.outcomes.items():
            metrics.EVENTS_PROCESSED.labels(outcome, reason).inc(count)
        for write in writes:
            metrics.WRITES_EMITTED.labels(write.object).inc()
        if folded.refused:
            metrics.DEAD_LETTERS.labels("decode", "undecodable").inc(len(folded.refused))
        metrics.LAST_PROCESSED.labels("projector").set_to_current_time()

    def _replayed(self, record: projector.Record) -> bool:
        """Whether an event was there before: it was produced again on purpose, or the offsets were moved back."""
        again = self._orders.replaying(record.topic, record.partition, record.offset)
        return again or records.REPLAY in record.headers

    async def _ask_stripe(self, folded: projector.Folded) -> None:
        """Fetches each customer whose newest state the events of one second do not tell, once."""
        keys = folded.ambiguous
        fetched = await asyncio.gather(*(self._stripe.customer(key.decode()) for key in keys))
        for key, customer in zip(keys, fetched, strict=True):
            metrics.ORDER_AMBIGUOUS.labels("no" if customer is None else "yes").inc()
            state = folded.states[key]
            if customer is not None and state.mapping.customer is not None:
                telling = Telling("fetched", Rank.FETCHED, customer)
                mapping = customer_mapping.told(state.mapping, state.mapping.customer.created, telling)
                folded.states[key] = msgspec.structs.replace(state, mapping=mapping)

    # Salesforce's answers

    async def _learn(self, partition: int, chunk: Chunk) -> None:
        states: dict[bytes, State] = {}
        for record in chunk:
            result = records.decode_result(record.value or b"")
            key = result.account.encode()
            state = states.get(key) or self._load(partition, key)
            states[key] = msgspec.structs.replace(
                state, mapping=customer_mapping.confirmed(state.mapping, result)
            )
        changes = self._changes(partition, projector.Folded(states=states))
        if changes:
            self._keep(partition, changes, await self._producer.send(changes))

    # The tables

    def _load(self, partition: int, key: bytes) -> State:
        return State(
            customer_mapping.decode(self._mapping.get(partition, key)),
            subscriptions.decode(self._subscriptions.get(partition, key)),
        )

    def _changes(self, partition: int, folded: projector.Folded) -> list[Record]:
        """One changelog record per table and customer whose row is not what the table holds."""
        changes = []
        for key, state in folded.states.items():
            for table, value in (
                (self._mapping, customer_mapping.encode(state.mapping)),
                (self._subscriptions, subscriptions.encode(state.subscriptions)),
            ):
                if value != (table.get(partition, key) or b"{}"):
                    changes.append(Record(topics.changelog(table.name), partition, key, value))
        return changes

    def _keep(self, partition: int, changes: Iterable[Record], sent: Mapping[tuple[str, int], int]) -> None:
        """Puts into the tables what the changelog already has, and up to where it has it."""
        for table in (self._mapping, self._subscriptions):
            name = topics.changelog(table.name)
            rows = {change.key: change.value for change in changes if change.topic == name and change.key}
            if not rows:
                continue
            table.put(TP(name, partition), rows, sent[name, partition])
            metrics.CHANGELOG_RECORDS.labels(table.name).inc(len(rows))
            if (count := table.count()) is not None:
                metrics.TABLE_KEYS.labels(table.name).set(count)


class ChangelogError(Exception):
    """A table's changelog holds a record that cannot be read; going on would lose that customer's state."""


def _write_records(
    partition: int, writes: Iterable[records.Write], replayed: Collection[bytes | None] = ()
) -> Iterable[Record]:
    """A write keeps the partition of its event, so that all records of a customer stay in order. Those of replayed
    customers say so."""
    for write in writes:
        headers = (records.REPLAY,) if write.account.encode() in replayed else ()
        yield Record(topics.SALESFORCE_WRITES, partition, write.key.encode(), records.encode(write), headers)


def _dead_letter(refused: projector.Refused) -> Record:
    origin = refused.record
    return Record(
        topics.DEAD_LETTERS,
        origin.partition,
        origin.key,
        origin.value,
        tuple(
            deadletter.headers(
                origin.headers,
                topic=origin.topic,
                partition=origin.partition,
                offset=origin.offset,
                stage="decode",
                error=refused.error,
            )
        ),
    )
