"""The projector's Faust app: three agents that read chunks, and the two tables they keep.

One agent folds Stripe's events, one learns what Salesforce answered, and one what has changed in Stripe's
catalogue; what each does with a chunk is in `agents.steps`. All work on a partition's tables, so the chunks of
one partition are worked on one at a time, while other partitions go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import faust
from faust.types import TP

from agents import mapping, policies
from agents.lanes import Lanes
from agents.steps import Steps
from stream import topics
from stream.kafka.batches import BatchProducer
from stream.kafka.chunks import Chunk, ChunkSchema, chunks
from stream.kafka.client import options
from stream.kafka.progress import Progress
from stream.kafka.rows import ROCKSDB, Rows
from stream.kafka.scan import ranges, scan
from stream.kafka.worker import faust_app
from stream.settings import Settings
from stream.stripe.api import StripeApi
from tables import customer_mapping, subscriptions


class Projector:
    """The Faust app with everything it works with. `app` is what runs; `close()` comes after it has stopped."""

    def __init__(self, settings: Settings) -> None:
        mapping.check(settings.mapping)
        policies.check(settings)
        self.settings = settings
        self.app = faust_app(
            topics.PROJECTOR_GROUP,
            settings.kafka,
            settings.revstream.state_dir / "tables",
            settings.projector.table_store,
            self._remember,
        )
        self.app.on_partitions_revoked.connect(self._forget, weak=False)
        self.app.on_partitions_assigned.connect(self._recall, weak=False)
        self._recalled = asyncio.Event()
        self._producer = BatchProducer(options(settings.kafka))
        self._progress = Progress(settings.kafka, topics.STRIPE_EVENTS, self._producer.send)
        self._stripe = StripeApi(settings.stripe)
        self._lanes = Lanes(self.app.crash)
        self._steps = Steps(
            settings,
            self._producer,
            self._stripe,
            self._table(customer_mapping.NAME, customer_mapping.decode),
            self._table(subscriptions.NAME, subscriptions.decode),
        )
        self._agent(topics.STRIPE_EVENTS, self._steps.project)
        self._agent(topics.SALESFORCE_RESULTS, self._steps.learn)
        self._agent(topics.STRIPE_CATALOGUE, self._steps.rename)

    async def start(self) -> None:
        """Connects the producer; the app is started by its runner."""
        await self._read_catalogue()
        await self._producer.start()

    async def close(self) -> None:
        """Lets go of what waits for Stripe, flushes and disconnects."""
        await self._lanes.abandon()
        await self._producer.stop()
        await self._stripe.close()

    # Faust's parts

    def _table(self, name: str, decode: Callable[[bytes | None], Any]) -> Rows:
        """A table of raw bytes. An undecodable changelog record stops the worker; stock Faust drops it."""
        table = self.app.Table(
            name,
            key_type=bytes,
            value_type=bytes,
            partitions=self.settings.kafka.partitions,
            options=ROCKSDB if self.settings.projector.table_store == "rocksdb" else None,
        )
        return Rows(table, check=decode)

    def _agent(self, topic: str, work: Callable[[int, Chunk], Awaitable[None]]) -> None:
        async def agent(stream: faust.Stream) -> None:
            async for partition, chunk, done in chunks(stream):
                await self._recalled.wait()  # Faust's recovery may be done before
                self._steps.own(partition, self.app.consumer_generation_id)
                await self._lanes.begin(partition, work, chunk, done)

        self.app.agent(self.app.topic(topic, schema=ChunkSchema()), name=topic)(agent)

    # How far events have ever been read

    async def _recall(self, app: faust.App, assigned: Collection[TP], **_: Any) -> None:
        """Another process may have come further, and offsets may have been moved while nobody had them."""
        self._steps.until = await self._progress.recall()
        self._recalled.set()

    async def _forget(self, app: faust.App, revoked: Collection[TP], **_: Any) -> None:
        self._recalled.clear()

    async def _remember(self, offsets: Mapping[TP, int]) -> None:
        events = {tp.partition: at for tp, at in offsets.items() if tp.topic == topics.STRIPE_EVENTS}
        await self._progress.remember(events)

    # Stripe's catalogue

    async def _read_catalogue(self) -> None:
        """Every partition holds the whole of it, so one is read."""
        first, last = (await ranges(self.settings.kafka, topics.STRIPE_CATALOGUE))[0]
        async for record in scan(self.settings.kafka, topics.STRIPE_CATALOGUE, {0: (first, last)}):
            self._steps.restock(record)
