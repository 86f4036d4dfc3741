"""One channel at work: what waits for it, how fast it goes, and how often it is tried."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from stream import metrics
from stream.notify.digest import Minute, pack
from stream.notify.port import Channel, Item, Message, Parcel, Undelivered, Why
from stream.notify.templates import Templates
from stream.settings import Notify

log = logging.getLogger(__name__)

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0

SENT, GATHERED, REPEATED, FAILED, UNSURE = "sent", "gathered", "repeated", "failed", "unsure"
OUTCOMES = (SENT, GATHERED, REPEATED, FAILED, UNSURE)


class Claims(Protocol):
    """Who tells what: `stream.notify.marks`."""

    async def claim(self, parcel: Parcel) -> tuple[Item, ...]:
        """Those of a parcel's items that are ours to tell, and were never told on its channel."""


def pause(tries: int, asked: float | None) -> float:
    """Seconds to wait after so many tries: what the channel asks for, else twice as long each time, spread."""
    wanted = asked if asked is not None else FIRST_PAUSE * 2 ** (tries - 1) * random.uniform(0.5, 1.5)
    return min(wanted, LONGEST_PAUSE)


class Outlet:
    """Sends what is put into it, beside all other channels. `done` is told of every item, whatever became of it."""

    def __init__(
        self,
        channel: Channel,
        claims: Claims,
        templates: Templates,
        notify: Notify,
        done: Callable[[Item, str], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.channel = channel
        self._claims = claims
        self._templates = templates
        self._notify = notify
        self._done = done
        self._sleep = sleep
        self._minute = Minute(notify.per_minute)
        self._waiting: list[Parcel] = []
        self._held = 0
        self._filled = asyncio.Event()
        self._stopping = asyncio.Event()

    def put(self, parcel: Parcel) -> None:
        """Takes a parcel of this channel."""
        self._waiting.append(parcel)
        self._filled.set()
        self._hold(len(parcel.items))

    def stop(self) -> None:
        """`run` ends after the message in hand; what waits is left for the next start."""
        self._stopping.set()
        self._filled.set()

    async def run(self) -> None:
        """Sends until stopped. Raises KafkaError when marks cannot be written."""
        while not self._stopping.is_set():
            await self._filled.wait()
            messages = pack(self._waiting, self._minute.room(time.monotonic()))
            if messages:
                self._waiting = []
                self._filled.clear()
            elif self._waiting:
                await self._idle(self._minute.left(time.monotonic()))
            for number, parcel in enumerate(messages):
                if self._stopping.is_set():
                    self._waiting[:0] = messages[number:]
                    break
                await self._deliver(parcel)
                self._hold(-len(parcel.items))

    async def _idle(self, seconds: float) -> None:
        stopping = asyncio.ensure_future(self._stopping.wait())
        waited = asyncio.ensure_future(self._sleep(seconds))
        await asyncio.wait([stopping, waited], return_when=asyncio.FIRST_COMPLETED)
        for one in (stopping, waited):
            one.cancel()

    async def _deliver(self, parcel: Parcel) -> None:
        ours = await self._claims.claim(parcel)
        self._count(REPEATED, len(parcel.items) - len(ours))
        if ours:
            self._minute.spend(time.monotonic())
            told = Parcel(parcel.channel, parcel.address, ours)
            outcome = await self._tell(told)
            self._count(GATHERED if outcome == SENT and len(ours) > 1 else outcome, len(ours))
        for item in parcel.items:
            self._done(item, self.channel.name)

    async def _tell(self, parcel: Parcel) -> str:
        try:
            message = self._templates.render(parcel)
        except Exception as error:  # what a template does may raise anything
            log.error("No template fits notice %s (%s); it is not told.", parcel.ids, type(error).__name__)
            return FAILED
        for tries in range(1, self._notify.attempts + 1):
            refused = await self._try(parcel, message)
            if refused is None:
                return SENT
            if refused.why is Why.UNSURE:
                log.warning(
                    "It is not known whether %s took notice %s (%s); it is not sent again.",
                    *(parcel.channel, parcel.ids, refused.code),
                )
                return UNSURE
            if refused.why is Why.NEVER or tries == self._notify.attempts or self._stopping.is_set():
                log.warning(
                    "%s did not take notice %s in %d tries (%s); it is given up.",
                    *(parcel.channel, parcel.ids, tries, refused.code),
                )
                return FAILED
            await self._idle(pause(tries, refused.after))
        raise AssertionError("not reached")

    async def _try(self, parcel: Parcel, message: Message) -> Undelivered | None:
        try:
            await self.channel.send(parcel, message)
        except Undelivered as error:
            return error
        except Exception as error:  # of a library; no channel may hold up the others
            return Undelivered(Why.UNSURE, type(error).__name__)
        return None

    def _count(self, outcome: str, notices: int) -> None:
        if notices:
            metrics.NOTICES.labels(self.channel.name, outcome).inc(notices)

    def _hold(self, notices: int) -> None:
        self._held += notices
        metrics.NOTICES_WAITING.labels(self.channel.name).set(self._held)
