"""One window: from the rows that may go to Salesforce's answers.

What Salesforce has confirmed already is not sent. New customers are matched first. Then the rows go object by
object, parents before children, and the children of a parent that failed are left for another window.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from stream import metrics, records
from stream.records import RowError
from stream.salesforce import closing, lookup, owners, present
from stream.salesforce.confirmed import Confirmed, Known
from stream.salesforce.errors import Kind, RequestError
from stream.salesforce.jobs import Jobs
from stream.salesforce.lanes import Lanes
from stream.salesforce.matching import ACCOUNT, Ambiguous, New, needs_lookup
from stream.salesforce.outbox import Outbox
from stream.salesforce.planner import Call, plan
from stream.salesforce.port import Salesforce
from stream.salesforce.rows import Row
from stream.salesforce.settle import AMBIGUOUS, PARENT_MISSING, Settled, dead
from stream.salesforce.verdicts import Verdicts
from stream.salesforce.window import Book, level
from stream.settings import Settings

log = logging.getLogger(__name__)


class Turn:
    """Sends one window. `run` settles rows, gives them to a Bulk job, or lets them go again.

    `cut_short` has it begin nothing more; what is under way, two calls one after the other at most, ends.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        *,
        port: Salesforce,
        settings: Settings,
        book: Book,
        lanes: Lanes,
        verdicts: Verdicts,
        confirmed: Confirmed,
        jobs: Jobs,
        outbox: Outbox,
        clock: Callable[[], float],
    ) -> None:
        self._rows = {row.write.key: row for row in rows}
        self._port = port
        self._settings = settings
        self._book = book
        self._lanes = lanes
        self._verdicts = verdicts
        self._confirmed = confirmed
        self._jobs = jobs
        self._outbox = outbox
        self._clock = clock
        self._new: set[str] = set()  # what Salesforce does not have yet, as far as it was asked
        self._missing: dict[
            str, str
        ] = {}  # parents that were set aside and are not in Salesforce: key → code
        self._busy: set[str] = set()  # customers whose rows a job has
        self._cut = False

    async def run(self) -> bool:
        """Whether anything came of it. Raises what the log raises."""
        count = len(self._rows)
        try:
            await self._write()
            return len(self._rows) < count
        finally:
            self._leave(list(self._rows.values()))

    def cut_short(self) -> None:
        """Its rows are wanted by somebody else, or it is time to stop."""
        self._cut = True

    async def _write(self) -> None:
        await self._end(self._known())
        await self._match()
        order = sorted(self._rows.values(), key=_lane)
        for (_, object_, _), group in groupby(order, key=_lane):
            rows = [] if self._cut else list(group)
            await self._end([dead(row, error) for row in rows if (error := self._orphaned(row))])
            ready = [row for row in rows if row.write.key in self._rows and self._may_go(row)]
            if ready and self._lanes.allowance(object_, self._clock()):
                await self._assign(object_, ready)
                await self._spare(object_, self._left_of(ready))
                await self._close(self._left_of(ready))
                await self._write_object(object_, self._left_of(ready))

    def _left_of(self, rows: Sequence[Row]) -> list[Row]:
        return [] if self._cut else [row for row in rows if row.write.key in self._rows]

    def _may_go(self, row: Row) -> bool:
        return row.write.account not in self._busy and not self._book.blocked(row)

    def _orphaned(self, row: Row) -> RowError | None:
        """Why a row cannot be written now or later: its parent is not there, and was set aside."""
        parent = next((parent for parent in row.parents if parent in self._missing), None)
        if parent is None:
            return None
        why = self._missing[parent]
        said = f"Its parent {parent} is not in Salesforce: that write was set aside ({why})."
        return RowError(PARENT_MISSING, said)

    def _known(self) -> list[Settled]:
        """Rows that need not be sent: Salesforce has confirmed just this, or a newer state. In a replay the
        first is sent all the same, since somebody may have changed it in Salesforce."""
        settled = []
        for row in self._rows.values():
            known = self._confirmed.get(row.write.key)
            if known is not None and row.write.version < known.version:
                settled.append(Settled(row, "superseded", salesforce_id=known.salesforce_id))
            elif known is not None and row.digest == known.digest and not row.replay:
                self._confirmed.put(
                    row.write.key, Known(known.digest, known.salesforce_id, row.write.version)
                )
                settled.append(Settled(row, "unchanged", salesforce_id=known.salesforce_id))
        return settled

    async def _match(self) -> None:
        """Finds the records that stood for new customers before us, and gives them their external ID."""
        rows = [
            row
            for row in self._rows.values()
            if needs_lookup(row.write) and self._confirmed.get(row.write.key) is None
        ]
        if not rows or self._cut:
            return
        concurrency = self._settings.salesforce.concurrency
        several = self._settings.matching.several
        try:
            decisions = await lookup.look_up(self._port, rows, several, concurrency)
            stamped = await lookup.stamp(self._port, rows, decisions, concurrency)
        except RequestError as error:
            self._verdicts.refused((), error, self._clock(), ACCOUNT)
            self._leave(rows)
            return
        self._verdicts.passed()
        self._new |= {key for key, decision in decisions.items() if isinstance(decision, New | Ambiguous)}
        await self._end(
            [
                dead(row, _ambiguous(decision), "match")
                for row in rows
                if isinstance(decision := decisions.get(row.write.key), Ambiguous)
            ]
        )
        for batch in stamped:
            refused = [pair for pair in batch if not lookup.already_linked(pair[1])]
            if refused:
                told = [row for row, _ in refused], [answer for _, answer in refused]
                await self._end(self._verdicts.answered(*told, self._clock(), "match"))
                self._leave(row for row, answer in refused if answer.error is not None)

    async def _assign(self, object_: str, rows: Sequence[Row]) -> None:
        """Gives new records their owners; those whose owner cannot have them are set aside."""
        wanted = [
            row for row in rows if row.write.owner is not None and self._confirmed.get(row.write.key) is None
        ]
        if not wanted:
            return
        try:
            found = await owners.look_up(self._port, wanted, self._settings.salesforce.concurrency)
        except RequestError as error:
            self._verdicts.refused((), error, self._clock(), object_)
            self._leave(wanted)
            return
        self._verdicts.passed()
        await self._end([dead(row, why) for row in wanted if (why := owners.assign(row, found))])

    async def _spare(self, object_: str, rows: Sequence[Row]) -> None:
        """Leaves out what is only to be set where Salesforce has nothing."""
        wanted = [row for row in rows if row.write.if_empty]
        if not wanted:
            return
        try:
            held = await present.look_up(self._port, wanted, self._settings.salesforce.concurrency)
        except RequestError as error:
            self._verdicts.refused((), error, self._clock(), object_)
            self._leave(wanted)
            return
        self._verdicts.passed()
        for row in wanted:
            present.spare(row, held)

    async def _close(self, rows: Sequence[Row]) -> None:
        """Closes the Opportunities of Accounts whose customer has left. What may pass later is tried again before
        the Account is written, as often as a row is; then the Account goes on without."""
        wanted = [row for row in rows if row.write.closing is not None]
        if not wanted:
            return
        try:
            done = await closing.close(self._port, wanted, self._settings.salesforce.concurrency)
        except RequestError as error:
            self._verdicts.refused((), error, self._clock(), closing.OPPORTUNITY)
            self._leave(wanted)
            return
        self._verdicts.passed()
        by_account = {row.write.external_id: row for row in wanted}
        waiting: dict[str, Row] = {}
        for id_, account, answer in done:
            if answer.error is None:
                phase = records.phase(replay=by_account[account].replay)
                metrics.ROWS.labels(closing.OPPORTUNITY, "closed", phase).inc()
                continue
            kind, row = answer.kind or Kind.ROW, by_account[account]
            metrics.ROW_ERRORS.labels(kind.value).inc()
            last = row.tries + 1 >= self._settings.writer.attempts
            if kind is Kind.PERMANENT or (last and account not in waiting):
                log.warning(
                    "Opportunity %s of a customer who has left stays open: %s (%s). See CHURN_LOST_STAGE and "
                    "CHURN_REASON_FIELD, or close it by hand.",
                    *(id_, answer.error.code, ", ".join(answer.error.fields) or "no field named"),
                )
            elif account not in waiting:
                waiting[account] = row
                self._verdicts.again(row, answer.error, self._clock(), "write", kind)
        self._leave(waiting.values())

    async def _write_object(self, object_: str, rows: Sequence[Row]) -> None:
        bulk_from = self._settings.writer.bulk_from_rows
        planned = plan(rows, bulk_from=bulk_from, job_running=self._jobs.running(object_))
        if planned.job is not None:
            for row in planned.job.rows:
                del self._rows[row.write.key]
                self._confirmed.drop(row.write.key)
                self._busy.add(row.write.account)
            self._jobs.start(planned.job)
        turns = asyncio.Semaphore(self._settings.salesforce.concurrency)
        for phase in planned.phases:
            await asyncio.gather(*(self._send(call, turns) for call in phase))

    async def _send(self, call: Call, turns: asyncio.Semaphore) -> None:
        async with turns:
            if self._cut or not self._lanes.allowance(call.object, self._clock()):
                return  # the lane may have been closed by another call of this window
            for row in call.rows:
                self._confirmed.drop(row.write.key)  # whatever the answer, the old content may be gone
            try:
                answers = await self._port.upsert(call.object, call.field, [row.write for row in call.rows])
            except RequestError as error:
                settled = self._verdicts.refused(call.rows, error, self._clock(), call.object)
            else:
                settled = self._verdicts.answered(call.rows, answers, self._clock())
        await self._end(settled)

    async def _end(self, settled: Sequence[Settled]) -> None:
        """Rows of the window whose outcome is known."""
        for one in settled:
            del self._rows[one.row.write.key]
            if one.error is not None and one.row.write.key in self._new:
                self._missing[one.row.write.key] = one.error.code
        await self._outbox.settle(settled)

    def _leave(self, rows: Iterable[Row]) -> None:
        """Rows that this window can do nothing for go again in another."""
        left = [self._rows.pop(row.write.key) for row in rows if row.write.key in self._rows]
        self._outbox.superseded(self._book.release(left))


def _lane(row: Row) -> tuple[int, str, str]:
    """Rows of one lane are planned together, parents before children."""
    return level(row.write.object), row.write.object, row.write.external_id_field


def _ambiguous(decision: Ambiguous) -> RowError:
    said = (
        f"{len(decision.ids)} existing records could be this customer, by {decision.by}: "
        f"{', '.join(decision.ids)}. Give one of them the customer's external ID, or set MATCHING_SEVERAL."
    )
    return RowError(AMBIGUOUS, said)
