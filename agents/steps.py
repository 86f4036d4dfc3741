"""What is done with a chunk of records, in its order.

Three kinds of chunks are worked on: Stripe's events, Salesforce's answers, and changes of Stripe's catalogue. It
knows no Faust: records leave through a `Log`, and what is remembered lies in two `Table`s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Protocol

import msgspec

from agents import projector
from agents.events import Record as Received
from agents.events import State
from agents.inquiries import Inquiries
from agents.memory import Memory, Table
from agents.stock import Stock, account_of
from agents.strays import Owners
from stream import deadletter, metrics, records, topics
from stream.kafka.batches import Record, partition_of
from stream.settings import Settings
from stream.stripe import catalogue
from stream.stripe.api import StripeApi
from stream.stripe.catalogue import Entry
from stream.stripe.patience import patiently
from tables import customer_mapping, subscriptions

Chunk = Sequence[Received]
Marks = tuple[tuple[str, bytes], ...]


class Log(Protocol):
    """Where records go."""

    async def send(self, records: Iterable[Record]) -> dict[tuple[str, int], int]:
        """Returns when all of them are durable, with the last offset by topic and partition."""


class Steps:
    """The work on chunks of one process' partitions. A chunk is done with when its method returns: everything that
    follows from it is durable then.

    Events below `until`, by partition, were read before the process got the partition: they are a replay.
    """

    def __init__(
        self, settings: Settings, log: Log, stripe: StripeApi, mapping: Table, subscriptions: Table
    ) -> None:
        self.until: Mapping[int, int] = {}
        self._settings = settings
        self._log = log
        self._inquiries = Inquiries(stripe)
        self._stock = Stock(stripe)
        self._owners = Owners(stripe)
        self._memory = Memory(mapping, subscriptions)

    def own(self, partition: int, generation: int) -> None:
        """Takes a partition on, recovered, in a generation of the group; again and again does no harm."""
        self._memory.own(partition, generation)

    # Stripe's events

    async def project(self, partition: int, chunk: Chunk) -> None:
        """A chunk of Stripe's events. Those of a replay go by themselves: what one of them says is marked, and a
        new event of the same customer is not."""
        for replayed, run in groupby(chunk, self._replayed):
            await self._project(partition, list(run), replayed=replayed)

    async def _project(self, partition: int, chunk: Chunk, *, replayed: bool) -> None:
        began = time.perf_counter()
        folded = projector.fold_chunk(chunk, partial(self._memory.load, partition))
        rerouted = await self._route(folded)
        renewed = await self._renew(folded)
        await self._inquiries.ask(folded)
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
        changes = self._memory.changes(partition, folded.states)
        self._memory.keep(partition, changes, await self._log.send(changes))
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
        for row, value in self._memory.subscriptions(partition):
            if subscriptions.mentions(value, account_of(row.decode()), renewed):
                folded.states[row] = self._memory.load(partition, row)
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
            state = states.get(key) or self._memory.load(partition, key)
            states[key] = msgspec.structs.replace(
                state, mapping=customer_mapping.confirmed(state.mapping, result)
            )
        changes = self._memory.changes(partition, states)
        if changes:
            self._memory.keep(partition, changes, await self._log.send(changes))


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
