"""A small Salesforce in memory, for tests of the writer's core. It passes the port's conformance suite.

Beside the port it keeps what a test wants to know (`calls`, `overlaps`) and does what a test asks for (`fail`,
`refuse`, `drop_field`).
"""

from __future__ import annotations

import asyncio
import csv
import io
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from typing import Any, TypeVar

import msgspec

from stream.records import Scalar, Write
from stream.salesforce.budget import Usage
from stream.salesforce.errors import Kind, RequestError, job_kind, row_error
from stream.salesforce.org import external_id
from stream.salesforce.port import Description, Field, Job, Results, RowAnswer
from stream.settings import CUSTOMER_ID_FIELD, DEFAULT_MAPPING, STRIPE_ID_FIELD

_T = TypeVar("_T")

PREFIXES = {
    "Account": "001",
    "Contact": "003",
    "Opportunity": "006",
    "Task": "00T",
    "Case": "500",
    "User": "005",
}
REQUIRED = {
    "Account": "Name",
    "Contact": "LastName",
    "Opportunity": "StageName",
    "Task": "Status",
    "Case": "Status",
    "User": "Name",
}
STANDARD = (
    "Id",
    "CreatedDate",
    "Website",
    "AccountId",
    "WhatId",
    "ContactId",
    "OwnerId",
    "StageName",
    "IsClosed",
    "Type",
)
# What a relationship of another name leads to.
RELATED = {"Owner": "User", "What": "Account"}

_QUERY = re.compile(
    r"SELECT (?P<fields>.+?) FROM (?P<object>\w+) WHERE (?P<field>[\w.]+) IN \((?P<values>.*)\)"
    r"(?: AND (?P<null>\w+) = null)?$",
    re.DOTALL,
)
_LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
_UNESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


class Fault(msgspec.Struct):
    """A call that goes wrong: `after` it has been applied, or instead."""

    operation: str
    error: RequestError
    object: str | None
    times: int
    after: bool
    when: Callable[[Sequence[Write]], bool]


def no_answer() -> RequestError:
    return RequestError(Kind.REQUEST, "timeout", "Salesforce did not answer in time.")


class FakeSalesforce:
    """The port `Salesforce`."""

    def __init__(self, seed: int = 0, limit: int = 100_000) -> None:
        self.records: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in PREFIXES}
        self.fields = {
            name: {*STANDARD, external_id(name), *DEFAULT_MAPPING.get(name, {})} for name in PREFIXES
        }
        self.calls: Counter[str] = Counter()
        self.sent: list[tuple[str, list[str]]] = []  # (object, external IDs) of every upsert, in order
        self.overlaps: list[str] = []  # customers that were in two calls at once
        self.refusals: dict[str, list[dict[str, Any]]] = {}  # by key, one after the other
        self.always: dict[str, dict[str, Any]] = {}  # by key, for ever
        self.jobs: dict[str, dict[str, Any]] = {}
        self.polls_until_done = 1
        self.faults: list[Fault] = []
        self.before: Callable[[str], Awaitable[None]] | None = None
        self.usage: Usage | None = None
        self.limit = limit
        self.used = 0
        self._random = random.Random(seed)
        self._numbers = count(1)
        self._active: Counter[str] = Counter()

    # What a test asks for

    def fail(
        self,
        operation: str,
        error: RequestError | None = None,
        *,
        object_: str | None = None,
        times: int = 1,
        after: bool = False,
        when: Callable[[Sequence[Write]], bool] = lambda writes: True,
    ) -> None:
        self.faults.append(Fault(operation, error or no_answer(), object_, times, after, when))

    def refuse(self, key: str, code: str, message: str = "", *fields: str, times: int = 1) -> None:
        error = {"statusCode": code, "message": message, "fields": list(fields)}
        self.refusals.setdefault(key, []).extend([error] * times)

    def drop_field(self, object_: str, field: str) -> None:
        self.fields[object_].discard(field)

    def seed(self, object_: str, **fields: Any) -> str:
        number = next(self._numbers)
        id_ = f"{PREFIXES[object_]}{number:012d}AAA"
        # A minute apart, in the order they are made.
        created = f"2026-01-01T{number // 60 % 24:02d}:{number % 60:02d}:00.000+0000"
        self.records[object_][id_] = {"CreatedDate": created, **fields, "Id": id_}
        return id_

    def by_external_id(self, object_: str) -> dict[str, dict[str, Any]]:
        rows, field = self.records[object_].values(), external_id(object_)
        return {row[field]: row for row in rows if row.get(field)}

    # The port

    async def upsert(self, object_: str, field: str, writes: Sequence[Write]) -> list[RowAnswer]:
        self.sent.append((object_, [write.external_id for write in writes]))
        after = await self._begin("upsert", object_, writes)
        answers = self._apply(object_, field, writes)
        await self._hold(writes)
        return self._end(after, answers)

    async def stamp(self, object_: str, field: str, ids: Mapping[str, str]) -> list[RowAnswer]:
        after = await self._begin("stamp", object_)
        answers = []
        for id_, key in ids.items():
            row = self.records[object_].get(id_)
            other = self.by_external_id(object_).get(key)
            if error := self._refusal(f"{object_}:{key}:stamp"):
                answers.append(_refused(error, field))
            elif row is None:
                answers.append(
                    _refused({"statusCode": "ENTITY_IS_DELETED", "message": "entity is deleted"}, field)
                )
            elif other is not None and other["Id"] != id_:
                told = f"duplicate value found: {field} duplicates value on record with id: {other['Id']}"
                answers.append(_refused({"statusCode": "DUPLICATE_VALUE", "message": told}, field))
            else:
                row[field] = key
                answers.append(RowAnswer(id=id_))
        return self._end(after, answers)

    async def update(self, object_: str, changes: Mapping[str, Mapping[str, Scalar]]) -> list[RowAnswer]:
        after = await self._begin("update", object_)
        answers = []
        for id_, fields in changes.items():
            row = self.records[object_].get(id_)
            if row is None:
                told = {"statusCode": "ENTITY_IS_DELETED", "message": "entity is deleted"}
                answers.append(_refused(told, "Id"))
            else:
                row |= fields
                answers.append(RowAnswer(id=id_))
        return self._end(after, answers)

    async def query(self, queries: Sequence[str]) -> list[list[dict[str, Any]]]:
        after = await self._begin("query", None)
        return self._end(after, [self._select(query) for query in queries])

    async def create_job(self, object_: str, field: str) -> str:
        after = await self._begin("create_job", object_)
        job = f"750{next(self._numbers):012d}AAA"
        self.jobs[job] = {"object": object_, "field": field, "state": "Open", "polls": 0, "message": ""}
        return self._end(after, job)

    async def upload(self, job: str, data: bytes) -> None:
        after = await self._begin("upload", self.jobs[job]["object"])
        self.jobs[job]["data"] = data
        self._end(after, None)

    async def start_job(self, job: str) -> None:
        after = await self._begin("start_job", self.jobs[job]["object"])
        self.jobs[job]["state"] = "UploadComplete"
        self._end(after, None)

    async def abort_job(self, job: str) -> None:
        after = await self._begin("abort_job", self.jobs[job]["object"])
        if self.jobs[job]["state"] not in ("Open", "UploadComplete", "InProgress"):
            raise RequestError.of(400, b'[{"errorCode":"INVALIDJOBSTATE","message":"ended"}]')
        self.jobs[job]["state"] = "Aborted"
        self._end(after, None)

    async def job(self, job: str) -> Job | None:
        after = await self._begin("job", None)
        known = self.jobs.get(job)
        if known is None:
            return self._end(after, None)
        if known["state"] in ("UploadComplete", "InProgress"):
            known["polls"] += 1
            known["state"] = "InProgress"
            if known["polls"] >= self.polls_until_done:
                self._work(known)
        failed = len(known.get("failedResults", ()))
        return self._end(after, Job(job, known["state"], failed, known["message"]))

    async def results(self, job: str, which: Results) -> bytes:
        after = await self._begin("results", None)
        return self._end(after, _csv(self.jobs[job].get(which, [])))

    async def describe(self, object_: str) -> Description | None:
        after = await self._begin("describe", object_)
        if object_ not in self.fields:
            return self._end(after, None)
        fields = [
            Field(
                name=name,
                external_id=name == external_id(object_),
                unique=name == external_id(object_),
                case_sensitive=name == external_id(object_),
            )
            for name in sorted(self.fields[object_])
        ]
        return self._end(after, Description(object_, tuple(fields)))

    async def limits(self) -> Usage | None:
        after = await self._begin("limits", None)
        return self._end(after, Usage(self.used, self.limit))

    # Inside

    async def _begin(
        self, operation: str, object_: str | None, writes: Sequence[Write] = ()
    ) -> RequestError | None:
        self.calls[operation] += 1
        if self.before is not None:
            await self.before(operation)
        await asyncio.sleep(0)
        if self.used >= self.limit:
            raise RequestError(Kind.QUOTA, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", 403)
        self.used += 1
        self.usage = Usage(self.used, self.limit)
        for fault in self.faults:
            if fault.operation == operation and fault.object in (None, object_) and fault.when(writes):
                fault.times -= 1
                if not fault.times:
                    self.faults.remove(fault)
                if fault.after:
                    return fault.error
                raise fault.error
        return None

    def _end(self, error: RequestError | None, answer: _T) -> _T:
        if error is not None:
            raise error
        return answer

    async def _hold(self, writes: Sequence[Write]) -> None:
        """The locks of a call: no customer's may be wanted by two calls."""
        accounts = {write.account for write in writes}
        self.overlaps += [account for account in accounts if self._active[account]]
        self._active.update(accounts)
        for _ in range(self._random.randrange(1, 4)):
            await asyncio.sleep(0)
        self._active.subtract(accounts)

    def _apply(self, object_: str, field: str, writes: Sequence[Write]) -> list[RowAnswer]:
        twice = {key for key, n in Counter(write.external_id for write in writes).items() if n > 1}
        answers = []
        for write in writes:
            if write.external_id in twice:
                told = f"Duplicate external id specified: {write.external_id}"
                answers.append(_refused({"statusCode": "DUPLICATE_VALUE", "message": told}, field))
                continue
            try:
                values = dict(write.fields)
                for name, parent in write.parents.items():
                    values[f"{name}Id"] = self._parent(name, parent.external_id, parent.object, object_)
                answers.append(self._save(object_, field, write.external_id, values))
            except _Refused as error:
                answers.append(_refused(error.told, field))
        return answers

    def _parent(self, name: str, external_id: str, parent: str, object_: str) -> str:
        row = self.by_external_id(parent).get(external_id)
        if row is None:
            told = f"Foreign key external ID: {external_id} not found for field {name} in entity {object_}"
            raise _Refused("INVALID_FIELD", told)
        return str(row["Id"])

    def _refusal(self, key: str) -> dict[str, Any] | None:
        if key in self.always:
            return self.always[key]
        waiting = self.refusals.get(key)
        return waiting.pop(0) if waiting else None

    def _save(self, object_: str, field: str, external_id: str, values: dict[str, Any]) -> RowAnswer:
        if told := self._refusal(f"{object_}:{external_id}"):
            raise _Refused(told["statusCode"], told["message"], *told["fields"])
        for name in (*values, field):
            if name not in self.fields[object_]:
                raise _Refused("INVALID_FIELD", f"No such column '{name}' on sobject of type {object_}")
        row = next((r for r in self.records[object_].values() if r.get(field) == external_id), None)
        required = REQUIRED[object_]
        if not {**(row or {}), **values}.get(required):
            raise _Refused("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{required}]", required)
        created = row is None
        if row is None:
            row = self.records[object_][self.seed(object_)]
        row |= {**values, field: external_id}
        return RowAnswer(id=row["Id"], created=created)

    def _select(self, query: str) -> list[dict[str, Any]]:
        asked = _QUERY.match(query)
        if asked is None:
            raise RequestError.of(400, b'[{"errorCode":"MALFORMED_QUERY","message":"unexpected token"}]')
        object_, names = asked["object"], asked["fields"].split(", ")
        for name in (*names, asked["field"]):
            if "." not in name and name not in self.fields[object_]:
                raise RequestError.of(
                    400, f'[{{"errorCode":"INVALID_FIELD","message":"No such column {name}"}}]'.encode()
                )
        wanted = {
            re.sub(r"\\(.)", lambda found: _UNESCAPED.get(found[1], found[1]), text)
            for text in _LITERAL.findall(asked["values"])
        }
        exact = asked["field"].rpartition(".")[2] in (CUSTOMER_ID_FIELD, STRIPE_ID_FIELD)
        folded = wanted if exact else {text.casefold() for text in wanted}
        found = []
        for row in self.records[object_].values():
            value = self._value(row, asked["field"])
            if value is None or (value if exact else value.casefold()) not in folded:
                continue
            if asked["null"] is None or row.get(asked["null"]) is None:
                found.append(self._shown(row, names))
        return found

    def _value(self, row: dict[str, Any], name: str) -> Any:
        parent, dot, field = name.partition(".")
        if not dot:
            return row.get(name)
        return (self._shown(row, [name])[parent] or {}).get(field)

    def _shown(self, row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for name in names:
            parent, dot, field = name.partition(".")
            if not dot:
                told[name] = row.get(name)
            elif row.get(f"{parent}Id"):
                of = RELATED.get(parent, parent)
                told.setdefault(parent, {})[field] = self.records[of][row[f"{parent}Id"]].get(field)
            else:
                told[parent] = None
        return told

    def _work(self, job: dict[str, Any]) -> None:
        if job["message"]:
            job["state"] = "Failed"
            assert job_kind(job["message"])
            return
        rows = list(csv.DictReader(io.StringIO(job["data"].decode(), newline="")))
        succeeded, failed = [], []
        for row in rows:
            values: dict[str, Any] = {}
            try:
                for column, cell in row.items():
                    name, dot, _ = column.partition(".")
                    if dot and cell:
                        type_, _, relation = name.rpartition(":")  # of a parent that may be of several types
                        parent = type_ or RELATED.get(relation, relation)
                        values[f"{relation}Id"] = self._parent(relation, cell, parent, job["object"])
                    elif cell and column != job["field"]:
                        values[column] = {"#N/A": None, "true": True, "false": False}.get(cell, cell)
                answer = self._save(job["object"], job["field"], row[job["field"]], values)
                succeeded.append({"sf__Id": answer.id, "sf__Created": str(answer.created).lower(), **row})
            except _Refused as error:
                told = error.told
                text = f"{told['statusCode']}:{told['message']}:{','.join(told['fields'])} --"
                failed.append({"sf__Id": "", "sf__Error": text, **row})
        self._random.shuffle(succeeded)
        self._random.shuffle(failed)
        job |= {"state": "JobComplete", "successfulResults": succeeded, "failedResults": failed}


class _Refused(Exception):
    def __init__(self, code: str, message: str, *fields: str) -> None:
        super().__init__(code)
        self.told = {"statusCode": code, "message": message, "fields": list(fields)}


def _refused(told: Mapping[str, Any], field: str) -> RowAnswer:
    kind, error = row_error([told], field)
    return RowAnswer(kind=kind, error=error)


def _csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue().encode()
