"""Bulk API 2.0 ingest jobs: their states, and the work on them ("How Requests Are Processed").

A job's rows run in chunks of 200, each of them one transaction, with its progress in the same commit. So a job
that a crash interrupts goes on where it was.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import msgspec

from stream.sandbox.salesforce import spreadsheet
from stream.sandbox.salesforce.dml import Dml, Outcome, Saved
from stream.sandbox.salesforce.identifiers import make, number_of
from stream.sandbox.salesforce.keys import duplicate, duplicates, key_of, refuse
from stream.sandbox.salesforce.org import Org
from stream.sandbox.salesforce.schema import Entity
from stream.sandbox.salesforce.spreadsheet import SheetError
from stream.sandbox.salesforce.store import Change

log = logging.getLogger(__name__)

CHUNK_ROWS = 200
BATCH_ROWS = 10_000

State = Literal["Open", "UploadComplete", "InProgress", "JobComplete", "Failed", "Aborted"]
Operation = Literal["insert", "update", "upsert", "delete", "hardDelete"]
Results = Literal["successful", "failed", "unprocessed"]


class Info(msgspec.Struct):
    """What is known of a job. Times are Salesforce's, `working` is in milliseconds."""

    identifier: str
    object: str
    operation: Operation
    version: int
    created: str
    modified: str
    key: str | None = None
    delimiter: str = "COMMA"
    line_ending: str = "LF"
    state: State = "Open"
    done: int = 0
    failed: int = 0
    working: int = 0
    error: str | None = None


class Done(msgspec.Struct, frozen=True, array_like=True):
    """What became of one row; `error` is the cell sf__Error."""

    identifier: str
    created: bool
    error: str | None = None


class Job:
    """One job, its data, and what became of its rows by their number."""

    def __init__(self, info: Info, data: bytes = b"") -> None:
        self.info = info
        self.data = data
        self.outcomes: dict[int, Done] = {}
        self.sheet: tuple[list[str], list[list[str]]] | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.info.state in ("JobComplete", "Failed", "Aborted")

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows of its data. Raises SheetError."""
        if self.sheet is None:
            self.sheet = spreadsheet.parse(self.data, self.info.delimiter, self.info.line_ending)
        return self.sheet

    def results(self, which: Results, seed: int) -> str:
        """One of the three results as CSV, in no order that a client could rely on."""
        try:
            header, rows = self.rows()
        except SheetError:
            return self.data.decode("utf-8", "replace") if which == "unprocessed" else ""
        lines = list(self._lines(which, rows))
        random.Random(f"{seed}:{self.info.identifier}").shuffle(lines)
        extra = {
            "successful": ["sf__Id", "sf__Created"],
            "failed": ["sf__Id", "sf__Error"],
            "unprocessed": [],
        }
        return spreadsheet.write([extra[which] + header, *lines], self.info.delimiter, self.info.line_ending)

    def _lines(self, which: Results, rows: list[list[str]]) -> Iterator[list[str]]:
        for number, row in enumerate(rows):
            done = self.outcomes.get(number)
            if done is None:
                if which == "unprocessed":
                    yield row
            elif done.error is None and which == "successful":
                yield [done.identifier, "true" if done.created else "false", *row]
            elif done.error is not None and which == "failed":
                yield [done.identifier, done.error, *row]


class Jobs:
    """All jobs of the org, and the tasks that work on them."""

    def __init__(self, org: Org) -> None:
        self._org = org
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0
        for info, data, outcomes in org.journal.jobs():
            job = Job(msgspec.json.decode(info, type=Info), data)
            job.outcomes = {n: msgspec.json.decode(done, type=Done) for n, done in outcomes.items()}
            self._jobs[job.info.identifier] = job
            self._number = max(self._number, number_of(job.info.identifier))

    def resume(self) -> None:
        """Goes on with the jobs that were being worked on. Needs a running loop."""
        for job in self._jobs.values():
            if job.info.state in ("UploadComplete", "InProgress"):
                self._start(job)

    async def stop(self) -> None:
        """Stops working; what is done stays done."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def clear(self) -> None:
        """Forgets every job."""
        await self.stop()
        self._jobs.clear()

    def all(self) -> list[Job]:
        """Every job, oldest first."""
        return list(self._jobs.values())

    def get(self, identifier: str) -> Job | None:
        """A job by its ID, in either form."""
        found = self._jobs.get(identifier)
        short = (job for name, job in self._jobs.items() if name[:15] == identifier)
        return found or next(short, None)

    def open(self, entity: Entity, operation: Operation, version: int, **told: Any) -> Job:
        """A new job in state Open."""
        self._number += 1
        now = self._org.now()
        job = Job(Info(make("750", self._number), entity.name, operation, version, now, now, **told))
        self._jobs[job.info.identifier] = job
        self._keep(job)
        return job

    def upload(self, job: Job, data: bytes) -> None:
        """Takes a job's data."""
        job.data = data
        self._keep(job)

    def close(self, job: Job) -> None:
        """Takes a job up for work."""
        rows = job.data.count(b"\n") - 1  # without the header
        self._org.batches_used.use(max(math.ceil(rows / BATCH_ROWS), 1))
        self._state(job, "UploadComplete")
        self._start(job)

    def abort(self, job: Job) -> None:
        """Ends a job; rows that were not worked on are unprocessed."""
        self._state(job, "Aborted")

    def delete(self, job: Job) -> None:
        """Forgets a job."""
        del self._jobs[job.info.identifier]
        self._org.journal.drop_job(job.info.identifier)

    def _keep(self, job: Job) -> None:
        self._org.journal.keep_job(job.info.identifier, msgspec.json.encode(job.info), job.data)

    def _state(self, job: Job, state: State, error: str | None = None) -> None:
        job.info.state, job.info.error, job.info.modified = state, error, self._org.now()
        self._org.journal.commit([], (job.info.identifier, msgspec.json.encode(job.info), {}))

    def _start(self, job: Job) -> None:
        task = asyncio.get_running_loop().create_task(self._run(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, job: Job) -> None:
        await asyncio.sleep(self._org.options.bulk_delay_seconds)
        if self._live(job):
            try:
                await self._work(job)
            except SheetError as error:
                self._state(job, "Failed", str(error))
            except Exception as error:
                log.exception("Job %s failed in the sandbox itself.", job.info.identifier)
                self._state(job, "Failed", f"InternalError : {type(error).__name__}")

    def _live(self, job: Job) -> bool:
        return not job.ended and job.info.identifier in self._jobs

    async def _work(self, job: Job) -> None:
        info = job.info
        entity = self._org.schema.entity(info.object)
        if entity is None:
            raise SheetError(f"InvalidEntity : Entity '{info.object}' is not supported by the Bulk API.")
        header, rows = job.rows()
        key = "Id" if info.operation in ("update", "delete", "hardDelete") else info.key
        spreadsheet.check(header, entity, self._org.schema, key)
        self._state(job, "InProgress")
        fault = self._org.faults.of_job(entity.name, info.operation)
        while info.done < len(rows) and self._live(job):
            stop = min(info.done + CHUNK_ROWS, len(rows), fault.rows if fault else len(rows))
            if fault and info.done >= fault.rows:
                self._state(job, "Failed", f"{fault.code} : {fault.message}")
                return
            await self._chunk(job, entity, header, rows[info.done : stop])
        if self._live(job):
            self._state(job, "JobComplete")

    async def _chunk(self, job: Job, entity: Entity, header: list[str], rows: list[list[str]]) -> None:
        started, info = time.monotonic(), job.info
        told = [spreadsheet.record(header, row) for row in rows]
        outcomes: list[Outcome] = []

        def work(dml: Dml) -> None:
            # It may have been aborted, and even deleted, while it waited for a lock.
            outcomes[:] = _write(dml, entity, info, told) if self._live(job) else []

        def keep(changes: list[Change]) -> None:
            done = {info.done + n: _done(outcome) for n, outcome in enumerate(outcomes)}
            job.outcomes |= done
            info.done += len(outcomes)
            info.failed += sum(1 for each in done.values() if each.error is not None)
            info.working += int((time.monotonic() - started) * 1000)
            progress = {number: msgspec.json.encode(each) for number, each in done.items()}
            self._org.journal.commit(changes, (info.identifier, msgspec.json.encode(info), progress))

        _, locked = await self._org.transact(work, source="csv", keep=keep)
        try:
            await asyncio.sleep(self._org.options.latency_seconds)
        finally:
            self._org.locks.free(locked)


def _write(dml: Dml, entity: Entity, info: Info, told: list[dict[str, Any]]) -> list[Outcome]:
    """One transaction's rows."""
    given = [{name.casefold(): value for name, value in record.items()} for record in told]
    if info.operation == "insert":
        return dml.each([partial(dml.insert, entity, record) for record in told], all_or_none=False)
    if info.operation != "upsert":
        writes = []
        for record, folded in zip(told, given, strict=True):
            identifier = str(folded.get("id") or "")
            if info.operation == "update":
                writes.append(partial(dml.update, entity, identifier, record))
            else:
                writes.append(partial(dml.delete, entity, identifier))
        return dml.each(writes, all_or_none=False)
    key = entity.field(info.key or "Id") or entity.fields["Id"]
    values = [folded.get(key.name.casefold()) for folded in given]
    keys = [key_of(dml.schema, key, value) for value in values]
    twice = duplicates(keys)
    return dml.each(
        [
            partial(refuse, duplicate(key, value))
            if same in twice
            else partial(dml.upsert, entity, key, value, record)
            for record, value, same in zip(told, values, keys, strict=True)
        ],
        all_or_none=False,
    )


def _done(outcome: Outcome) -> Done:
    if isinstance(outcome, Saved):
        return Done(outcome.identifier, outcome.created)
    return Done("", False, outcome.as_cell())
