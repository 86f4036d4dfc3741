"""Bulk jobs under way: beside the windows, one per object, and over the end of this process.

A job's ID and how far its rows reach in each partition are committed before Salesforce is told to begin. Who
owns the partition next takes the job up: what has not begun is aborted and sent again, what has is awaited,
and rows that the job wrote as they are count as confirmed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from stream import metrics
from stream.salesforce import bulk
from stream.salesforce.bulk import Kept
from stream.salesforce.errors import Kind, RequestError, job_kind
from stream.salesforce.lanes import AWAY, CONFIGURATION, LOGIN, QUOTA, Pace
from stream.salesforce.planner import Call
from stream.salesforce.port import Job, Results, RowAnswer, Salesforce
from stream.salesforce.rows import Row
from stream.salesforce.settle import Settled
from stream.salesforce.verdicts import Verdicts
from stream.salesforce.window import Claim

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_WAITS = {Kind.REQUEST: AWAY, Kind.QUOTA: QUOTA, Kind.REAUTH: LOGIN}

# Time for the rows of an earlier job to be read again, once the job has ended.
READ_SECONDS = 30.0


class Desk(msgspec.Struct, frozen=True):
    """What a job needs of the dispatcher: to commit the jobs' metadata (False: the partitions are gone), to end
    rows, to let rows go again, to know how far a partition is read, and to fail as a whole."""

    checkpoint: Callable[[], Awaitable[bool]]
    settle: Callable[[Sequence[Settled]], Awaitable[None]]
    release: Callable[[Iterable[Row]], Awaitable[None]]
    position: Callable[[int], int]
    unclaim: Callable[[Claim], None]
    fail: Callable[[BaseException], None]


class Jobs:
    """All jobs of this process."""

    def __init__(self, port: Salesforce, verdicts: Verdicts, pace: Pace, desk: Desk) -> None:
        self._port = port
        self._verdicts = verdicts
        self._pace = pace
        self._desk = desk
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._kept: dict[str, Claim] = {}

    def running(self, object_: str) -> bool:
        """Whether a job of this object is under way."""
        return object_ in self._tasks.values()

    def kept(self, partition: int) -> tuple[Kept, ...]:
        """The jobs that a partition's metadata has to tell of."""
        return tuple(
            Kept(claim.job, claim.object, claim.ends[partition])
            for claim in self._kept.values()
            if partition in claim.ends
        )

    def start(self, call: Call) -> None:
        """Sends rows by a job of their own, from now until its end."""
        self._spawn(self._run(call), call.object)

    def resume(self, claim: Claim) -> None:
        """Takes up a job of an earlier life."""
        self._kept[claim.job] = claim
        self._spawn(self._resume(claim), claim.object)

    def _spawn(self, work: Coroutine[Any, Any, None], object_: str) -> None:
        task = asyncio.create_task(work)
        self._tasks[task] = object_
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()):
            self._desk.fail(error)

    async def abandon(self) -> None:
        """Stops looking after the jobs; their partitions' next owner takes them up."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._kept.clear()

    # A job of ours

    async def _run(self, call: Call) -> None:
        job = None
        try:
            job = await self._port.create_job(call.object, call.field)
            self._kept[job] = Claim(job, call.object, _ends(call.rows))
            if not await self._desk.checkpoint():
                self._kept.pop(job, None)  # a rebalance: the rows are somebody else's now
                await self._withdraw(job)
                return
            await self._port.upload(job, bulk.data([row.write for row in call.rows]))
            await self._begin(job)
        except RequestError as error:
            if job is None or not _begun(await self._withdraw(job)):
                await self._refused(call, error)
                self._kept.pop(job or "", None)
                return
        log.info("Bulk job %s has begun: %d rows of %s.", job, len(call.rows), call.object)
        ended = await self._ended(job)
        answers = await self._answers(ended, call.rows, call.field, compare=False)
        await self._judge(ended, call.rows, answers)
        self._kept.pop(job, None)

    async def _begin(self, job: str) -> None:
        """UploadComplete. Without an answer it may have begun all the same: then it is awaited."""
        try:
            await self._port.start_job(job)
        except RequestError as error:
            if error.kind is not Kind.REQUEST or not _begun(await self._state(job)):
                raise

    async def _refused(self, call: Call, error: RequestError) -> None:
        """The job did not come about. Unless its data is too large, that says nothing of its rows."""
        suspects = call.rows if error.kind is Kind.SPLIT else ()
        settled = self._verdicts.refused(suspects, error, time.monotonic(), call.object)
        await self._end(call.rows, settled)

    async def _withdraw(self, job: str) -> Job | None:
        """Aborts a job that is open, and gives what it is then. It may have begun all the same: a request that got
        no answer can still arrive, so an open job is not left behind."""
        failures = 0
        while True:
            try:
                await self._port.abort_job(job)
            except RequestError as error:
                log.warning("Bulk job %s cannot be aborted: %s", job, error.code)
            known = await self._state(job)
            if known is None or known.state != "Open":
                return known
            failures += 1
            await asyncio.sleep(self._pace.wait(AWAY, failures))

    # A job of an earlier life

    async def _resume(self, claim: Claim) -> None:
        log.info("Bulk job %s of an earlier run is taken up again.", claim.job)
        known = await self._state(claim.job)
        if known is not None and known.state == "Open":
            known = await self._withdraw(claim.job)
        if known is not None:
            known = await self._ended(claim.job)
        await self._until_read(claim)
        rows = list(claim.rows.values())
        self._desk.unclaim(claim)
        if rows:
            field = rows[0].write.external_id_field
            answers = await self._answers(known, rows, field, compare=True)
            await self._judge(known, rows, answers)
        self._kept.pop(claim.job, None)

    async def _until_read(self, claim: Claim) -> None:
        """Until its rows are read again. Retention may have removed some, so there is an end to it."""
        deadline = time.monotonic() + READ_SECONDS
        wait = self._pace.poll[0] / 10
        while time.monotonic() < deadline:
            if all(self._desk.position(partition) >= end for partition, end in claim.ends.items()):
                return
            await asyncio.sleep(wait)

    # Any job

    async def _state(self, job: str) -> Job | None:
        return await self._insist(lambda: self._port.job(job))

    async def _ended(self, job: str) -> Job | None:
        """The job once it has ended; None when Salesforce does not know it any more."""
        began = time.monotonic()
        polls = 0
        late = False
        while True:
            known = await self._state(job)
            if known is None or known.state in bulk.ENDED:
                return known
            waited = time.monotonic() - began
            if waited > self._pace.job_seconds and not late:
                late = True
                log.warning("Bulk job %s is %s after %.0f s; it is awaited.", job, known.state, waited)
            polls += 1
            first, longest = self._pace.poll
            await asyncio.sleep(min(longest, first * 1.5 ** (polls - 1)))

    async def _insist(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Asks until there is an answer: a job that runs is not left alone."""
        failures = 0
        while True:
            try:
                return await call()
            except RequestError as error:
                failures += 1
                reason = _WAITS.get(error.kind, CONFIGURATION)
                metrics.RETRIES.labels(error.kind.value).inc()
                log.warning("A Bulk job cannot be asked for (%s); tried again.", error.code)
                await asyncio.sleep(self._pace.wait(reason, failures))

    async def _answers(
        self, job: Job | None, rows: Sequence[Row], field: str, *, compare: bool
    ) -> list[RowAnswer | None]:
        if job is None:
            return [None] * len(rows)
        succeeded = await self._results(job.id, "successfulResults")
        failed = (
            await self._results(job.id, "failedResults") if job.failed or job.state != "JobComplete" else []
        )
        return bulk.answers((row.write for row in rows), succeeded, failed, field, compare=compare)

    async def _results(self, job: str, which: Results) -> list[dict[str, str]]:
        return bulk.read(await self._insist(lambda: self._port.results(job, which)))

    async def _judge(self, job: Job | None, rows: Sequence[Row], answers: Sequence[RowAnswer | None]) -> None:
        """Settles what the job settled; the rest goes again. Rows that a failed job did not try go by Collections
        next time, since something in them may be what it fails on."""
        now = time.monotonic()
        tried = [(row, answer) for row, answer in zip(rows, answers, strict=True) if answer is not None]
        settled: list[Settled] = []
        if tried:
            settled = self._verdicts.answered([row for row, _ in tried], [answer for _, answer in tried], now)
        if job is not None and job.state == "Failed":
            object_ = rows[0].write.object
            log.warning("Bulk job %s of %s failed: %s", job.id, object_, job.message)
            if job_kind(job.message) is Kind.CONFIGURATION:
                self._verdicts.close(object_, CONFIGURATION, now, job.message)
            else:
                for row, answer in zip(rows, answers, strict=True):
                    row.suspected += answer is None
        await self._end(rows, settled)

    async def _end(self, rows: Sequence[Row], settled: Sequence[Settled]) -> None:
        await self._desk.settle(settled)
        done = {id(one.row) for one in settled}
        await self._desk.release(row for row in rows if id(row) not in done)


def _begun(job: Job | None) -> bool:
    return job is not None and job.state not in ("Open", "Aborted")


def _ends(rows: Iterable[Row]) -> dict[int, int]:
    ends: dict[int, int] = {}
    for row in rows:
        ends[row.partition] = max(ends.get(row.partition, 0), row.offset + 1)
    return ends


def claims(kept: Mapping[int, Iterable[Kept]]) -> list[Claim]:
    """The jobs that the partitions' metadata tells of."""
    found: dict[str, Claim] = {}
    for partition, jobs in kept.items():
        for job in jobs:
            found.setdefault(job.id, Claim(job.id, job.object, {})).ends[partition] = job.end
    return list(found.values())
