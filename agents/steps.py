"""What is done with a chunk of records, in its order.

Three kinds of chunks are worked on: Stripe's events, Salesforce's answers, and changes of Stripe's catalogue. It
knows no Faust: records leave through a `Log`, and what is remembered lies in two `Table`s.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Protocol

import msgspec

from agents import projector
from agents.events import Record as Received
from agents.events import State
from agents.stock import Stock, account_of
from agents.strays import Owners
from stream import deadletter, metrics, records, topics
from stream.kafka import epochs
from stream.kafka.batches import Record, partition_of
from stream.settings import Settings
from stream.stripe import catalogue
from stream.stripe.api import NoAnswer, StripeApi
from stream.stripe.catalogue import Entry
from stream.stripe.patience import patiently
from stream.stripe.shapes import Customer
from tables import customer_mapping, subscriptions
from tables.versions import Rank, Telling

log = logging.getLogger(__name__)

Chunk = Sequence[Received]
Marks = tuple[tuple[str, bytes], ...]


class Log(Protocol):
    """Where records go."""

    async def send(self, records: Iterable[Record]) -> dict[tuple[str, int], int]:
        """Returns when all of them are durable, with the last offset by topic and partition."""


class Table(Protocol):
    """The rows of one table, raw bytes, by partition."""

    @property
    def name(self) -> str:
        """The table's."""

    def get(self, partition: int, key: bytes) -> bytes | None:
        """A row, or None."""

    def items(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """All rows of a partition, as they are now."""

    def epoch(self, partition: int) -> int:
        """The newest epoch that its changelog is known to have been written in."""

    def overwritten(self, partition: int) -> Collection[bytes]:
        """The rows that the changelog has otherwise in the end, since a former owner wrote too late."""

    def put(self, partition: int, rows: Mapping[bytes, bytes | None], offset: int, epoch: int) -> None:
        """Writes rows that the changelog has up to an offset, written in an epoch of ours."""

    def count(self) -> int | None:
        """How many rows there are, if it is known."""


class Steps:
    """The work on chunks of one process' partitions. A chunk is done with when its method returns: everything that
    follows from it is durable then.

    Events below `until`, by partition, were read before the process got the partition: they are a replay.
    """

    def __init__(
        self, settings: Settings, log: Log, stripe: StripeApi, mapping: Table, subscriptions: Table
    ) -> None:
        self.until: Mapping[int, int] = {}
        self._generation = 0
        self._epochs: dict[int, int] = {}
        self._settings = settings
        self._log = log
        self._stripe = stripe
        self._stock = Stock(stripe)
        self._owners = Owners(stripe)
        self._mapping = mapping
        self._subscriptions = subscriptions

    def own(self, partition: int, generation: int) -> None:
        """Takes a partition on, recovered, in a generation of the group; again and again does no harm.

        A group that was deleted counts its generations from 1 again, and epochs may not.
        """
        if generation != self._generation:
            self._generation, self._epochs = generation, {}
        if partition not in self._epochs:
            last = max(self._mapping.epoch(partition), self._subscriptions.epoch(partition))
            self._epochs[partition] = max(generation, last + 1)

    # Stripe's events

    async def project(self, partition: int, chunk: Chunk) -> None:
        """A chunk of Stripe's events. Those of a replay go by themselves: what one of them says is marked, and a
        new event of the same customer is not."""
        for replayed, run in groupby(chunk, self._replayed):
            await self._project(partition, list(run), replayed=replayed)

    async def _project(self, partition: int, chunk: Chunk, *, replayed: bool) -> None:
        began = time.perf_counter()
        folded = projector.fold_chunk(chunk, partial(self._load, partition))
        rerouted = await self._route(folded)
        renewed = await self._renew(folded)
        await self._ask_stripe(folded)
        projector.settle(folded, topics.STRIPE_EVENTS, partition)
        emitted = projector.Emitted()
        fetched = await self._emit(folded, folded.touched, emitted)
        marks = (records.REPLAY,) if replayed else ()
        # What follows goes before what is remembered: an event that waited is forgotten by this chunk, so after a
        # crash in between nothing else would bring its records.
        await self._log.send(
            [
                *_write_records(partition, emitted.writes, marks),
                *_notice_records(partition, emitted.notices, marks),
                *(_dead_letter(refused) for refused in folded.refused),
                *rerouted,
                *self._catalogue_records({**renewed, **fetched}),
            ]
        )
        changes = self._changes(partition, folded)
        self._keep(partition, changes, await self._log.send(changes))
        metrics.CHUNK_RECORDS.observe(len(chunk))
        metrics.CHUNK_DURATION.observe(time.perf_counter() - began)
        phase = records.phase(replay=replayed)
        for (outcome, reason), count in folded.outcomes.items():
            metrics.EVENTS_PROCESSED.labels(outcome, reason, phase).inc(count)
        for write in emitted.writes:
            metrics.WRITES_EMITTED.labels(write.object, phase).inc()
        for refused in folded.refused:
            metrics.DEAD_LETTERS.labels(refused.stage, refused.error.code).inc()
        metrics.LAST_PROCESSED.labels("projector").set_to_current_time()

    def _replayed(self, record: Received) -> bool:
        """Whether an event was there before: it was produced again on purpose, or the offsets were moved back."""
        return record.offset < self.until.get(record.partition, 0) or records.REPLAY in record.headers

    async def _emit(
        self, folded: projector.Folded, keys: Collection[bytes], emitted: projector.Emitted
    ) -> dict[str, Entry]:
        """Has the workflows speak, as often as something has to be fetched first. What was fetched comes back."""
        fetched: dict[str, Entry] = {}
        while keys:
            wanted = projector.emit(folded, keys, self._stock.lookup, self._settings, emitted)
            # Many customers of one chunk wait for the same.
            asked = {(unknown, account_of(key.decode())) for key, unknown in wanted.items()}
            told = await asyncio.gather(*(patiently(partial(self._stock.fetch, *one)) for one in asked))
            fetched |= {key: entry for entries in told for key, entry in entries.items()}
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
                at = partition_of(key, self._settings.kafka.partitions)
                marks = tuple(again.headers)
                if self._replayed(again) and records.REPLAY not in marks:
                    marks = (*marks, records.REPLAY)
                rerouted.append(Record(topics.STRIPE_EVENTS, at, key, again.value, marks))
        return rerouted

    async def _renew(self, folded: projector.Folded) -> dict[str, Entry]:
        """Takes discounts on as they are told, and fetches again what of the held catalogue has changed."""
        renewed = self._stock.tell(folded.discounts)
        for account, ids in folded.renewed.items():
            renewed |= await patiently(partial(self._stock.refresh, sorted(ids), account))
        return renewed

    def _catalogue_records(self, entries: Mapping[str, Entry]) -> Iterable[Record]:
        """What was fetched goes to every partition, so that each one's owner tells the customers it is about."""
        for key, entry in entries.items():
            value = catalogue.encode(entry)
            for partition in range(self._settings.kafka.partitions):
                yield Record(topics.STRIPE_CATALOGUE, partition, key.encode(), value)

    async def _ask_stripe(self, folded: projector.Folded) -> None:
        """Fetches, once, each customer whom no event has told of, and whatever the events do not tell in full: its
        newest state among several of one second, or all of its items."""
        await asyncio.gather(
            *(self._ask_customer(folded, key) for key in (*folded.ambiguous, *folded.strangers)),
            *(self._ask_subscription(folded, key, id_) for key, id_ in folded.half_told),
        )
        # What follows from a departure cannot be taken back, so it is not left to the order of events.
        await asyncio.gather(*(self._ask_departure(folded, key) for key in folded.leaving))

    async def _ask_customer(self, folded: projector.Folded, key: bytes) -> None:
        customer = await self._customer(key.decode())
        state = folded.states[key]
        held = state.mapping.customer
        if held is not None:
            metrics.ORDER_AMBIGUOUS.labels("no" if customer is None else "yes").inc()
        if customer is not None:
            created = held.created if held else max(event.ref.created for event in folded.touched[key])
            told = customer_mapping.told(state.mapping, created, Telling("fetched", Rank.FETCHED, customer))
            folded.states[key] = msgspec.structs.replace(state, mapping=told)

    async def _ask_subscription(self, folded: projector.Folded, key: bytes, id_: str) -> None:
        try:
            fetched = await patiently(partial(self._stripe.subscription, id_, account_of(key.decode())))
        except NoAnswer:  # then what the events tell has to do
            metrics.ORDER_AMBIGUOUS.labels("no").inc()
            return
        metrics.ORDER_AMBIGUOUS.labels("yes").inc()
        state = folded.states[key]
        created = state.subscriptions.by_id[id_].created
        told = subscriptions.told(state.subscriptions, created, Telling("fetched", Rank.FETCHED, fetched))
        folded.states[key] = msgspec.structs.replace(state, subscriptions=told)

    async def _ask_departure(self, folded: projector.Folded, key: bytes) -> None:
        account, _, id_ = key.decode().rpartition("/")
        try:
            told = await patiently(partial(self._stripe.subscriptions, id_, account or None))
        except NoAnswer:  # then what the events tell has to do
            return
        state = folded.states[key]
        newest = max(event.ref.created for event in folded.touched[key])
        held = state.subscriptions
        for it in told:
            created = held.by_id[it.id].created if it.id in held.by_id else newest
            held = subscriptions.told(held, created, Telling("fetched", Rank.FETCHED, it))
        folded.states[key] = msgspec.structs.replace(state, subscriptions=held)

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

    def restock(self, record: Received) -> str | None:
        """Takes on what a projector has fetched. The key, when something that was known before has changed."""
        if record.key is None or record.value is None:
            return None
        key, entry = record.key.decode(), catalogue.decode(record.value)
        self._stock.put(key, entry)
        return key if entry.renewed else None

    async def rename(self, partition: int, chunk: Chunk) -> None:
        """A chunk of what projectors have fetched: this partition's customers whom a change is about are told
        again."""
        renewed = {key for record in chunk if (key := self.restock(record))}
        if not renewed:
            return
        folded = projector.Folded()
        for row, value in self._subscriptions.items(partition):
            if subscriptions.mentions(value, account_of(row.decode()), renewed):
                folded.states[row] = self._load(partition, row)
                folded.touched[row] = []
        emitted = projector.Emitted()
        await self._emit(folded, folded.touched, emitted)
        await self._log.send(_write_records(partition, emitted.writes))
        for write in emitted.writes:
            metrics.WRITES_EMITTED.labels(write.object, records.LIVE).inc()

    # Salesforce's answers

    async def learn(self, partition: int, chunk: Chunk) -> None:
        """A chunk of Salesforce's answers."""
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
            self._keep(partition, changes, await self._log.send(changes))

    # The tables

    def _load(self, partition: int, key: bytes) -> State:
        return State(
            customer_mapping.decode(self._mapping.get(partition, key)),
            subscriptions.decode(self._subscriptions.get(partition, key)),
        )

    def _changes(self, partition: int, folded: projector.Folded) -> list[Record]:
        """One changelog record per table and customer whose row is not what the table holds, or not what the
        changelog has in the end."""
        changes = []
        marks = (epochs.mark(self._epochs.get(partition, 0)),)
        for key, state in folded.states.items():
            for table, value in (
                (self._mapping, customer_mapping.encode(state.mapping)),
                (self._subscriptions, subscriptions.encode(state.subscriptions)),
            ):
                if value != (table.get(partition, key) or b"{}"):
                    changes.append(Record(topics.changelog(table.name), partition, key, value, marks))
        told = {(change.topic, change.key) for change in changes}
        for table in (self._mapping, self._subscriptions):
            name = topics.changelog(table.name)
            for key in table.overwritten(partition):
                if (name, key) not in told and (held := table.get(partition, key)) is not None:
                    changes.append(Record(name, partition, key, held, marks))
        return changes

    def _keep(self, partition: int, changes: Iterable[Record], sent: Mapping[tuple[str, int], int]) -> None:
        """Puts into the tables what the changelog already has, and up to where it has it."""
        for table in (self._mapping, self._subscriptions):
            name = topics.changelog(table.name)
            rows = {change.key: change.value for change in changes if change.topic == name and change.key}
            if not rows:
                continue
            table.put(partition, rows, sent[name, partition], self._epochs.get(partition, 0))
            metrics.CHANGELOG_RECORDS.labels(table.name).inc(len(rows))
            if (count := table.count()) is not None:
                metrics.TABLE_KEYS.labels(table.name).set(count)


def _write_records(partition: int, writes: Iterable[records.Write], marks: Marks = ()) -> Iterable[Record]:
    """A write keeps the partition of its event, so that all records of a customer stay in order. Those of a replay
    say so in `marks`."""
    for write in writes:
        yield Record(topics.SALESFORCE_WRITES, partition, write.key.encode(), records.encode(write), marks)


def _notice_records(partition: int, notices: Iterable[records.Notice], marks: Marks) -> Iterable[Record]:
    """Like writes; nobody is told again of what says that it is replayed."""
    for notice in notices:
        yield Record(topics.NOTICES, partition, notice.account.encode(), records.encode(notice), marks)


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
