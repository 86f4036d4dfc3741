"""The notifier stage: `revstream.notices` to Slack, mail, Chatter and the log."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from stream import metrics
from stream.internal import InternalServer
from stream.kafka.client import options
from stream.kafka.connections import poll
from stream.notify import routes
from stream.notify.chatter import Chatter
from stream.notify.log import Log
from stream.notify.mail import Mail
from stream.notify.marks import Marks
from stream.notify.outlet import OUTCOMES, Outlet
from stream.notify.port import Channel, Item
from stream.notify.progress import Progress
from stream.notify.slack import Slack
from stream.notify.templates import Templates
from stream.records import REPLAY, decode_notice
from stream.salesforce.session import Session
from stream.settings import Route, Settings
from stream.stage import Parts
from stream.topics import NOTICES, NOTIFIER_GROUP

log = logging.getLogger(__name__)

POLL_MS = 500
# Notices in hand before we read on; a channel that is down gathers them, so they are few messages.
MOST_IN_HAND = 10_000
STOP_SECONDS = 15.0

NOBODY = "none"  # the channel of what goes nowhere
UNTOLD = ("replayed", "stale", "unrouted", "unreadable")


class Desk:
    """Reads notices, hands each to its channels, and knows up to where all is done."""

    def __init__(self, settings: Settings, ways: tuple[Route, ...]) -> None:
        self._notify = settings.notify
        self._ways = ways
        self.progress = Progress()
        self.outlets: dict[str, Outlet] = {}

    def done(self, item: Item, channel: str) -> None:
        """A channel is done with a notice."""
        self.progress.done(item.partition, item.offset, channel)
        metrics.LAST_PROCESSED.labels("notifier").set_to_current_time()

    def read(self, record: Any) -> None:
        """Takes a record of `revstream.notices`."""
        try:
            notice = decode_notice(record.value or b"")
        except msgspec.DecodeError:
            log.error(
                "The record at offset %d of partition %d of %s is no notice and is left out.",
                *(record.offset, record.partition, NOTICES),
            )
            self._leave(record, "unreadable")
            return
        why = routes.unwanted(notice, REPLAY in record.headers, time.time(), self._notify)
        if why is not None:
            self._leave(record, why)
            return
        item = Item(notice, record.partition, record.offset)
        parcels = routes.parcels(item, self._ways)
        if not parcels:
            self._leave(record, "unrouted")
            return
        self.progress.begin(record.partition, record.offset, (parcel.channel for parcel in parcels))
        for parcel in parcels:
            self.outlets[parcel.channel].put(parcel)

    def _leave(self, record: Any, why: str) -> None:
        metrics.NOTICES.labels(NOBODY, why).inc()
        self.progress.begin(record.partition, record.offset)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """What is in hand of partitions that go is finished here or there: the marks let only one tell it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.assigned = False

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        try:
            await self._source.commit()
        finally:  # aiokafka goes on after a failure; with partitions that are gone no commit would pass any more
            self._source.desk.progress.forget(tp.partition for tp in revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self.assigned = True
        metrics.REBALANCES.labels("notifier").inc()
        log.info(
            "Partitions: %s.", ", ".join(str(p) for p in sorted(tp.partition for tp in assigned)) or "none"
        )


class Source:
    """The notices' consumer."""

    def __init__(self, settings: Settings, desk: Desk) -> None:
        session = int(settings.kafka.session_timeout_seconds * 1000)
        self.desk = desk
        self.listener = _Listener(self)
        self._paused = False
        self._consumer: Any = AIOKafkaConsumer(
            **options(settings.kafka),
            group_id=NOTIFIER_GROUP,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=session,
            heartbeat_interval_ms=session // 4,
        )

    async def start(self) -> None:
        """Joins the group. Raises KafkaError."""
        self._consumer.subscribe([NOTICES], listener=self.listener)
        await self._consumer.start()

    async def stop(self) -> None:
        """Commits, and leaves the group."""
        try:
            await self.commit()
        finally:
            await self._consumer.stop()

    async def run(self) -> None:
        """Reads for ever."""
        while True:
            for records in (await poll(self._consumer, POLL_MS)).values():
                for record in records:
                    self.desk.read(record)
            full = self.desk.progress.count >= MOST_IN_HAND
            if full != self._paused:
                (self._consumer.pause if full else self._consumer.resume)(*self._consumer.assignment())
                self._paused = full
            await self.commit()

    async def commit(self) -> None:
        """Commits up to where everything is done."""
        if not (reached := self.desk.progress.commits()):
            return
        try:
            await self._consumer.commit({TopicPartition(NOTICES, p): at for p, at in reached.items()})
        except (CommitFailedError, IllegalStateError):
            return  # the partitions are not ours any more; the marks know what was told
        self.desk.progress.committed(reached)
        metrics.LAST_PROCESSED.labels("notifier").set_to_current_time()


async def notifier(settings: Settings, stop: asyncio.Event) -> None:
    """Tells people until told to stop. Raises SettingError, and KafkaError when marks cannot be written."""
    ways = routes.routes(settings.notify)
    templates = Templates(settings.notify)
    desk = Desk(settings, ways)
    async with Parts() as stack:
        channels = await _channels(settings, ways, stack)
        marks = Marks(settings.kafka)
        stack.push_async_callback(marks.stop)
        for channel in channels:
            desk.outlets[channel.name] = Outlet(channel, marks, templates, settings.notify, desk.done)
        _prepare_metrics(desk)
        source = Source(settings, desk)
        stack.push_async_callback(source.stop)
        server = InternalServer(
            settings.notify.metrics_listen,
            ("notify", "metrics_listen"),
            lambda: None if source.listener.assigned else "The notifier has not joined its group yet.",
        )
        stack.push_async_callback(server.stop)
        await server.start()
        await marks.start()
        await source.start()
        log.info("Notices go to: %s.", ", ".join(desk.outlets))
        await _until_stopped(desk, source, marks, stop)


async def _channels(settings: Settings, ways: tuple[Route, ...], stack: AsyncExitStack) -> list[Channel]:
    """The channels that some route names. Raises SettingError."""
    found: list[Channel] = []
    for name in dict.fromkeys(name for way in ways for name in way.channels):
        if name == "slack":
            found.append(Slack(settings.notify))
        elif name == "mail":
            found.append(Mail(settings.notify))
        elif name == "chatter":
            session = await stack.enter_async_context(Session(settings.salesforce))
            found.append(Chatter(session, settings.notify))
        else:
            found.append(Log())
        stack.push_async_callback(found[-1].close)
    return found


def _prepare_metrics(desk: Desk) -> None:
    """Every series is there with 0 before its first notice, so that `rate()` sees the first one."""
    for name in desk.outlets:
        metrics.NOTICES_WAITING.labels(name).set(0)
        for outcome in OUTCOMES:
            metrics.NOTICES.labels(name, outcome)
    for why in UNTOLD:
        metrics.NOTICES.labels(NOBODY, why)
    metrics.REBALANCES.labels("notifier")


async def _until_stopped(desk: Desk, source: Source, marks: Marks, stop: asyncio.Event) -> None:
    outlets = [asyncio.create_task(outlet.run()) for outlet in desk.outlets.values()]
    others = [
        asyncio.create_task(source.run()),
        asyncio.create_task(marks.run()),
        asyncio.create_task(stop.wait()),
    ]
    try:
        done, _ = await asyncio.wait([*outlets, *others], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        log.info("The notifier ends what is in hand.")
        others[0].cancel()
        for outlet in desk.outlets.values():
            outlet.stop()
        await asyncio.wait(outlets, timeout=STOP_SECONDS)
    finally:
        for task in (*outlets, *others):
            task.cancel()
        await asyncio.gather(*outlets, *others, return_exceptions=True)
    for task in outlets:
        if not task.cancelled():
            task.result()
