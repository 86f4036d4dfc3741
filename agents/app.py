"""The projector's Faust app: three agents that read chunks, and the two tables they keep.

One agent folds Stripe's events, one learns what Salesforce answered, and one what has changed in Stripe's
catalogue. All work on a partition's tables, so the chunks of one partition are worked on one at a time, while
other partitions go on.
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

from agents import mapping, projector
from agents.events import Record as Received
from agents.events import State
from agents.stock import Stock, account_of
from agents.strays import Owners
from stream import deadletter, metrics, records, topics
from stream.control import Orders
from stream.kafka.batches import BatchProducer, Record, partition_of
from stream.kafka.chunks import Chunk, ChunkSchema, chunks
from stream.kafka.client import options
from stream.kafka.control import ControlReader
from stream.kafka.rows import Rows
from stream.kafka.scan import ranges, scan
from stream.kafka.worker import faust_app
from stream.settings import Settings
from stream.stripe import catalogue
from stream.stripe.api import NoAnswer, StripeApi
from stream.stripe.catalogue import Entry
from stream.stripe.patience import patiently
from stream.stripe.shapes import Customer
from tables import customer_mapping, subscriptions
from tables.versions import Rank, Telling


class Projector:
    """The Faust app with everything it works with. `app` is what runs; `close()` comes after it has stopped."""

    def __init__(self, settings: Settings) -> None:
        mapping.check(settings.mapping)
        self.settings = settings
        self.app = faust_app(
            topics.PROJECTOR_GROUP,
            settings.kafka,
            settings.revstream.state_dir / "tables",
            settings.projector.table_store,
        )
        self._producer = BatchProducer(options(settings.kafka))
        self._stripe = StripeApi(settings.stripe)
        self._stock = Stock(self._stripe)
        self._owners = Owners(self._stripe)
        self._lanes: dict[int, asyncio.Task[None]] = {}
        self._orders = Orders()
        self._mapping = self._table(customer_mapping.NAME, customer_mapping.decode)
        self._subscriptions = self._table(subscriptions.NAME, subscriptions.decode)
        self._agent(topics.STRIPE_EVENTS, self._project)
        self._agent(topics.SALESFORCE_RESULTS, self._learn)
        self._agent(topics.STRIPE_CATALOGUE, self._rename)

    async def start(self) -> None:
        """Connects the producer; the app is started by its runner. Offsets are only moved while no projector
        runs, so replay windows are read once."""
        async with ControlReader(self.settings.kafka) as control:
            self._orders = control.orders
        await self._read_catalogue()
        await self._producer.start()

    async def close(self) -> None:
        """Lets go of what waits for Stripe, flushes and disconnects."""
        for lane in self._lanes.values():
            lane.cancel()
        await self._producer.stop()
        await self._stripe.close()

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
        rerouted = await self._route(folded)
        renewed = await self._renew(folded)
        await self._ask_stripe(folded)
        projector.settle(folded, topics.STRIPE_EVENTS, partition)
        emitted = projector.Emitted()
        fetched = await self._emit(folded, folded.touched, emitted)
        replayed = [record for record in chunk if self._replayed(record)]
        metrics.EVENTS_REPLAYED.inc(len(replayed))
        again = {record.key for record in replayed}
        # What follows goes before what is remembered: an event that waited is forgotten by this chunk, so after a
        # crash in between nothing else would bring its records.
        await self._producer.send(
            [
                *_write_records(partition, emitted.writes, again),
                *_notice_records(partition, emitted.notices, again),
                *(_dead_letter(refused) for refused in folded.refused),
                *rerouted,
                *self._catalogue_records({**renewed, **fetched}),
            ]
        )
        changes = self._changes(partition, folded)
        self._keep(partition, changes, await self._producer.send(changes))
        metrics.CHUNK_RECORDS.observe(len(chunk))
        metrics.CHUNK_DURATION.observe(time.perf_counter() - began)
        for (outcome, reason), count in folded.outcomes.items():
            metrics.EVENTS_PROCESSED.labels(outcome, reason).inc(count)
        for write in emitted.writes:
            metrics.WRITES_EMITTED.labels(write.object).inc()
        for refused in folded.refused:
            metrics.DEAD_LETTERS.labels(refused.stage, refused.error.code).inc()
        metrics.LAST_PROCESSED.labels("projector").set_to_current_time()

    def _replayed(self, record: Received) -> bool:
        """Whether an event was there before: it was produced again on purpose, or the offsets were moved back."""
        again = self._orders.replaying(record.topic, record.partition, record.offset)
        return again or records.REPLAY in record.headers

    async def _emit(
        self, folded: projector.Folded, keys: Collection[bytes], emitted: projector.Emitted
    ) -> dict[str, Entry]:
        """Has the workflows speak, as often as something has to be fetched first. What was fetched comes back."""
        fetched: dict[str, Entry] = {}
        while keys:
            wanted = projector.emit(folded, keys, self._stock.lookup, self.settings, emitted)
            for key, unknown in wanted.items():
                account = account_of(key.decode())
                fetched |= await patiently(partial(self._stock.fetch, unknown, account))
            keys = wanted.keys()
        return fetched

    async def _route(self, folded: projector.Folded) -> list[Record]:
        """Finds the customers of events that name none, and puts them on the topic again under these."""
        rerouted = []
        for event in folded.strays:
            owner = await patiently(partial(self._owners.of, event))
            if owner.error is not None:
                folded.refuse(event, "customer_unknown", owner.error)
            elif owner.key is None:
                folded.recount(event, "ignored", "guest")
            else:
                folded.recount(event, "rerouted", "by_charge")
                key = owner.key.encode()
                again = event.record
                at = partition_of(key, self.settings.kafka.partitions)
                rerouted.append(Record(topics.STRIPE_EVENTS, at, key, again.value, tuple(again.headers)))
        return rerouted

    async def _renew(self, folded: projector.Folded) -> dict[str, Entry]:
        """Fetches again what of the held catalogue has changed."""
        renewed: dict[str, Entry] = {}
        for account, ids in folded.renewed.items():
            renewed |= await patiently(partial(self._stock.refresh, sorted(ids), account))
        return renewed

    def _catalogue_records(self, entries: Mapping[str, Entry]) -> Iterable[Record]:
        """What was fetched goes to every partition, so that each one's owner tells the customers it is about."""
        for key, entry in entries.items():
            value = catalogue.encode(entry)
            for partition in range(self.settings.kafka.partitions):
                yield Record(topics.STRIPE_CATALOGUE, partition, key.encode(), value)

    async def _ask_stripe(self, folded: projector.Folded) -> None:
        """Fetches each customer whom no event has told of, or whose newest state the events of one second do
        not tell, once."""
        keys = [*folded.ambiguous, *folded.strangers]
        fetched = await asyncio.gather(*(self._customer(key.decode()) for key in keys))
        for key, customer in zip(keys, fetched, strict=True):
            state = folded.states[key]
            held = state.mapping.customer
            if held is not None:
                metrics.ORDER_AMBIGUOUS.labels("no" if customer is None else "yes").inc()
            if customer is not None:
                telling = Telling("fetched", Rank.FETCHED, customer)
                created = held.created if held else max(event.ref.created for event in folded.touched[key])
                told = customer_mapping.told(state.mapping, created, telling)
                folded.states[key] = msgspec.structs.replace(state, mapping=told)

    async def _customer(self, key: str) -> Customer | None:
        """A customer as it now is. None when Stripe does not tell, or only that it is deleted: then its events
        have to do."""
        account, _, id_ = key.rpartition("/")
        try:
            customer = await patiently(partial(self._stripe.customer, id_, account or None))
        except NoAnswer:
            return None
        return None if customer.deleted else customer

    # Stripe's catalogue

    async def _read_catalogue(self) -> None:
        """Every partition holds the whole of it, so one is read."""
        first, last = (await ranges(self.settings.kafka, topics.STRIPE_CATALOGUE))[0]
        async for record in scan(self.settings.kafka, topics.STRIPE_CATALOGUE, {0: (first, last)}):
            self._restock(record)

    def _restock(self, record: Received) -> str | None:
        """Takes on what a projector has fetched. The key, when something that was known before has changed."""
        if record.key is None or record.value is None:
            return None
        key, entry = record.key.decode(), catalogue.decode(record.value)
        self._stock.put(key, entry)
        return key if entry.renewed else None

    async def _rename(self, partition: int, chunk: Chunk) -> None:
        """Tells again of this partition's customers whom a change of the catalogue is about."""
        renewed = {key for record in chunk if (key := self._restock(record))}
        if not renewed:
            return
        folded = projector.Folded()
        for row, value in self._subscriptions.items(partition):
            if subscriptions.mentions(value, account_of(row.decode()), renewed):
                folded.states[row] = self._load(partition, row)
                folded.touched[row] = []
        emitted = projector.Emitted()
        await self._emit(folded, folded.touched, emitted)
        await self._producer.send(_write_records(partition, emitted.writes))
        for write in emitted.writes:
            metrics.WRITES_EMITTED.labels(write.object).inc()

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


def _notice_records(
    partition: int, notices: Iterable[records.Notice], replayed: Collection[bytes | None]
) -> Iterable[Record]:
    """Like writes; nobody is told again of what says that it is replayed."""
    for notice in notices:
        key = notice.account.encode()
        headers = (records.REPLAY,) if key in replayed else ()
        yield Record(topics.NOTICES, partition, key, records.encode(notice), headers)


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
                stage=refused.stage,
                error=refused.error,
            )
        ),
    )
