"""The writer's heart: when a window closes, what may go in it, and what happens when partitions come and go.

It knows no Kafka and no HTTP: rows come by `read`, outcomes and offsets leave through a `Log`, Salesforce is a
port.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from stream import metrics
from stream.records import REPLAY, RowError, decode_write
from stream.salesforce import budget, bulk
from stream.salesforce.bulk import Kept
from stream.salesforce.clearance import Clearance
from stream.salesforce.confirmed import Confirmed
from stream.salesforce.jobs import Desk, Jobs, claims
from stream.salesforce.lanes import OPERATOR, Lanes, Pace
from stream.salesforce.outbox import Log, Outbox
from stream.salesforce.planner import CALL_ROWS
from stream.salesforce.port import Salesforce
from stream.salesforce.rows import Row, row
from stream.salesforce.settle import UNDECODABLE, dead, unreadable
from stream.salesforce.turn import Turn
from stream.salesforce.verdicts import Verdicts
from stream.salesforce.window import Book
from stream.settings import Settings

log = logging.getLogger(__name__)

# Records whose confirmed content is remembered; some 300 bytes each.
CONFIRMED_RECORDS = 200_000

# The book is full with this many windows of rows, or so many bytes.
FULL_WINDOWS = 3
FULL_BYTES = 256 * 1024 * 1024

# How often a window that waits for a backlog looks whether it has been read.
GLANCE_SECONDS = 0.05

_AT_ONCE = float("-inf")


class Dispatcher:
    """Takes rows in and sends windows out. `run` works until `stop`."""

    def __init__(
        self,
        port: Salesforce,
        sink: Log,
        settings: Settings,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._port = port
        self._log = sink
        self._settings = settings
        self._pace = pace or Pace()
        self._clock = clock
        self._book = Book()
        self._lanes = Lanes(self._pace)
        self._confirmed = Confirmed(CONFIRMED_RECORDS)
        self._verdicts = Verdicts(
            self._lanes, self._pace, self._confirmed, settings.writer.attempts, lambda: port.usage
        )
        self._outbox = Outbox(sink, self._book, lambda partition: bulk.metadata(self._jobs.kept(partition)))
        desk = Desk(
            checkpoint=self._outbox.checkpoint,
            settle=self._outbox.settle,
            release=self._release,
            position=self._book.position,
            unclaim=self._book.unclaim,
            fail=self.fail,
        )
        self._jobs = Jobs(port, self._verdicts, self._pace, desk)
        self._clearance = Clearance(
            port, settings, self._lanes, self._verdicts, self._book, self._jobs, clock
        )
        self._reached: Mapping[int, int] = {}
        self._opened: float | None = None  # when the first row of the next window came
        self._looked = _AT_ONCE  # when it was last looked what may go
        self._wake = asyncio.Event()
        self._window: asyncio.Task[None] | None = None
        self._sending: Turn | None = None
        self._holding = True  # no windows before partitions are owned
        self._stopping = False
        self._fault: BaseException | None = None

    # Partitions

    def expect(self, partitions: Iterable[int], reached: Mapping[int, int]) -> None:
        """Rows of these partitions may come from now on; none is sent before `own`. Those below `reached`, by
        partition, were dealt with before: they are a replay."""
        self._reached = reached
        self._book.own(partitions)

    def own(self, kept: Mapping[int, Sequence[Kept]]) -> None:
        """The partitions are ours, with the Bulk jobs that their metadata tells of."""
        for claim in claims(kept):
            self._outbox.superseded(self._book.claim(claim))
            self._jobs.resume(claim)
        self._outbox.owned = True
        self._holding = False
        self._wake.set()

    async def give_up(self) -> None:
        """The partitions are being taken away: ends the window in flight, or abandons it without a commit when
        it takes too long, and forgets everything about them.

        A call that Salesforce is still working on could undo what the next owner writes, so it is waited for
        longer than a call may take.
        """
        self._holding = True
        window = self._window
        if window is not None:
            self._cut_short()
            await asyncio.wait({window}, timeout=self._pace.revoke_seconds)
            if not window.done():
                log.warning("The window in flight takes too long and is left to the partitions' next owner.")
                window.cancel()
                await asyncio.wait({window})
        await self._outbox.checkpoint()
        await self._jobs.abandon()
        self._outbox.forget()
        self._book.forget()
        self._confirmed.clear()
        self._opened = None

    @property
    def full(self) -> bool:
        """Whether no more rows should be fetched for now."""
        rows = FULL_WINDOWS * self._settings.writer.window_rows
        return self._book.rows >= rows or self._book.bytes >= FULL_BYTES

    @property
    def roomy(self) -> bool:
        """Whether fetching can go on after it was full: with room for a window, so that it is not stop and go."""
        rows = (FULL_WINDOWS - 1) * self._settings.writer.window_rows
        return self._book.rows <= rows and self._book.bytes < FULL_BYTES // 2

    @property
    def in_flight(self) -> bool:
        """Whether a window is under way, so that Salesforce may be working on a call."""
        return self._window is not None and not self._window.done()

    @property
    def trouble(self) -> dict[str, str]:
        """The closed lanes and why."""
        return self._lanes.closed()

    def hold(self, paused: Mapping[str, str]) -> None:
        """What an operator wants held back from now on, and the reasons given. Calls under way end."""
        before = self._lanes.held
        self._lanes.hold(paused)
        for name in before | paused.keys():
            metrics.LANE_PAUSED.labels(name, OPERATOR).set(name in paused)
        for name in paused.keys() - before:
            log.warning("An operator holds %s writes back: %s", name, paused[name])
        for name in before - paused.keys():
            log.info("An operator lets %s writes go on.", name)
        if before - paused.keys():
            self._opened = _AT_ONCE  # what waited need not wait for more rows
            self._wake.set()

    # Rows in

    def read(
        self,
        partition: int,
        offset: int,
        key: bytes | None,
        value: bytes | None,
        headers: tuple[tuple[str, bytes], ...] = (),
    ) -> None:
        """Takes a record of `salesforce.writes` on."""
        if not self._book.begin(partition, offset):
            return
        if value is None:  # a tombstone: nothing is asked for
            self._book.end(partition, offset)
        else:
            self._take_on(partition, offset, key, value, headers)
        if self._opened is None:
            self._opened = self._clock()
            self._wake.set()
        elif self._book.rows >= self._settings.writer.window_rows:
            self._wake.set()

    def _take_on(
        self,
        partition: int,
        offset: int,
        key: bytes | None,
        value: bytes,
        headers: tuple[tuple[str, bytes], ...],
    ) -> None:
        replay = REPLAY in headers or offset < self._reached.get(partition, 0)
        try:
            write = decode_write(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            broken = unreadable(partition, offset, key, value, headers, replay=replay)
            self._book.note(broken)
            self._outbox.add([dead(broken, RowError(UNDECODABLE, str(error)), "decode")])
            return
        older = self._book.add(row(write, partition, offset, key, value, headers, replay=replay))
        if older is not None:
            self._outbox.superseded([older])

    async def _release(self, rows: Iterable[Row]) -> None:
        """Rows of a job may go again."""
        self._outbox.superseded(self._book.release(rows))
        if self._opened is None:
            self._opened = self._clock()
        self._wake.set()
        await self._outbox.flush()

    # The loop

    def stop(self) -> None:
        """Ends `run` after what is in flight."""
        self._stopping = True
        self._cut_short()
        self._wake.set()

    def fail(self, error: BaseException) -> None:
        """Ends `run`, which raises this."""
        self._fault = self._fault or error
        self.stop()

    async def run(self) -> None:
        """Works until told to stop. Raises what the log raises when outcomes cannot be told."""
        await self._clearance.check_org(self._clock())
        while not self._stopping:
            await self._sleep()
            await self._outbox.flush()
            if self._window_closed() and not self._holding and not self._stopping:
                self._opened = None
                self._window = window = asyncio.create_task(self._turn())
                await asyncio.wait({window})
                self._window = None
                if not window.cancelled():
                    window.result()
            await self._outbox.checkpoint()
        if self._fault is not None:
            raise self._fault

    def _cut_short(self) -> None:
        if self._sending is not None:
            self._sending.cut_short()

    async def close(self) -> None:
        """After `run`: commits what is known, and leaves jobs to the next run."""
        if self._window is not None:
            self._window.cancel()
            await asyncio.wait({self._window})
        await self._outbox.checkpoint()
        await self._jobs.abandon()

    async def _sleep(self) -> None:
        """Until a window closes, a row or lane may be tried again, or something happens."""
        now = self._clock()
        due = self._due(now)
        if not self._wake.is_set():
            try:
                async with asyncio.timeout(None if due is None else max(0.0, due - now)):
                    await self._wake.wait()
            except TimeoutError:
                if self._opened is None:  # a trial: it need not wait for more rows
                    self._opened = _AT_ONCE
        self._wake.clear()

    def _due(self, now: float) -> float | None:
        """When something may go without anything happening before."""
        if self._holding:
            return None  # `own` wakes us
        if self._opened is not None:
            return self._closes(now)  # what comes due before goes with this window
        # What came due while a window was under way has not been looked at yet.
        times = self._lanes.next_trial(self._looked), self._book.held_until(self._looked)
        return min((at for at in times if at is not None), default=None)

    def _closes(self, now: float) -> float:
        """When the open window closes: once it is full, or has waited for more rows. A backlog that is being read
        is waited for a little longer, since fuller calls are fewer calls."""
        assert self._opened is not None  # noqa: S101
        if self._book.waiting() >= self._settings.writer.window_rows:
            return now
        closes = self._opened + budget.linger(self._port.usage, self._settings.writer.linger_seconds)
        if closes <= now and self._log.behind() >= CALL_ROWS:
            return min(now + GLANCE_SECONDS, max(now, self._opened + self._pace.gather_seconds))
        return closes

    def _window_closed(self) -> bool:
        now = self._clock()
        return self._opened is not None and self._closes(now) <= now

    # A window

    async def _turn(self) -> None:
        # One look at the clock for all: a lane that comes due only now has not been asked about.
        now = self._looked = self._clock()
        if not await self._clearance.given(now):
            return
        limit = self._settings.writer.window_rows
        rows = self._book.take(limit, now, lambda object_: self._clearance.rows(object_, now))
        if not rows:
            return
        metrics.WINDOW_ROWS.observe(len(rows))
        turn = self._sending = Turn(
            rows,
            port=self._port,
            settings=self._settings,
            book=self._book,
            lanes=self._lanes,
            verdicts=self._verdicts,
            confirmed=self._confirmed,
            jobs=self._jobs,
            outbox=self._outbox,
            clock=self._clock,
        )
        try:
            done = await turn.run()
        finally:
            self._sending = None
        metrics.LAST_PROCESSED.labels("writer").set_to_current_time()
        if len(rows) == limit:
            self._opened = _AT_ONCE  # what was left over has waited already
        elif self._opened is None and done and self._book.waiting():
            self._opened = now
