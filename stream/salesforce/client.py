"""The real Salesforce: sObject Collections, Composite, Bulk API 2.0 and describe over a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from stream.records import Scalar, Write
from stream.salesforce import budget, soql
from stream.salesforce.budget import Usage
from stream.salesforce.describe import Describer
from stream.salesforce.errors import Kind, RequestError, row_error
from stream.salesforce.port import Description, Job, Results, RowAnswer
from stream.salesforce.rows import body
from stream.salesforce.session import Session

# A duplicate rule that only alerts is meant for a person at a screen; whom to take for whom has been settled by
# the matching. Rules that block still block ("Duplicate Rule Header").
_UPSERT_HEADERS = {"Sforce-Duplicate-Rule-Header": "allowSave=true"}

_T = TypeVar("_T")

_encode = msgspec.json.Encoder().encode


class _SubAnswer(msgspec.Struct, rename="camel"):
    body: Any
    http_status_code: int
    reference_id: str = ""


class _Composite(msgspec.Struct, rename="camel"):
    composite_response: list[_SubAnswer]


class Client:
    """The port `Salesforce` over a session."""

    def __init__(self, session: Session, describer: Describer) -> None:
        self._session = session
        self._describer = describer

    @property
    def usage(self) -> Usage | None:
        """The org's daily calls, as the last answer told."""
        return self._session.usage

    async def upsert(self, object_: str, field: str, writes: Sequence[Write]) -> list[RowAnswer]:
        """`PATCH composite/sobjects/Object/Field`: rows are answered in their order."""
        records = b",".join(body(write) for write in writes)
        answer = await self._session.call(
            "collections_upsert",
            "PATCH",
            self._session.path(f"composite/sobjects/{object_}/{field}"),
            body=b'{"allOrNone":false,"records":[' + records + b"]}",
            headers=_UPSERT_HEADERS,
        )
        return _row_answers(answer.body, field, len(writes))

    async def stamp(self, object_: str, field: str, ids: Mapping[str, str]) -> list[RowAnswer]:
        """As `update`; a refusal may be about the external ID."""
        return await self._update(object_, {id_: {field: told} for id_, told in ids.items()}, field)

    async def update(self, object_: str, changes: Mapping[str, Mapping[str, Scalar]]) -> list[RowAnswer]:
        """`PATCH composite/sobjects`, by Salesforce ID."""
        return await self._update(object_, changes, "Id")

    async def _update(
        self, object_: str, changes: Mapping[str, Mapping[str, Scalar]], field: str
    ) -> list[RowAnswer]:
        records = [{"attributes": {"type": object_}, "id": id_, **fields} for id_, fields in changes.items()]
        answer = await self._session.call(
            "collections_update",
            "PATCH",
            self._session.path("composite/sobjects"),
            body=_encode({"allOrNone": False, "records": records}),
            headers=_UPSERT_HEADERS,
        )
        return _row_answers(answer.body, field, len(changes))

    async def query(self, queries: Sequence[str]) -> list[list[dict[str, Any]]]:
        """`POST composite`: up to five queries in one call, and one call more for every further page."""
        subrequests = [
            {
                "method": "GET",
                "url": self._session.path(f"query?q={soql.encoded(query)}"),
                "referenceId": f"q{number}",
            }
            for number, query in enumerate(queries)
        ]
        answer = await self._session.call(
            "composite_query",
            "POST",
            self._session.path("composite"),
            body=_encode({"allOrNone": False, "compositeRequest": subrequests}),
        )
        parts = _read(answer.body, _Composite).composite_response
        by_name = {part.reference_id: part for part in parts}
        return [await self._pages(by_name[f"q{number}"]) for number in range(len(queries))]

    async def _pages(self, part: _SubAnswer) -> list[dict[str, Any]]:
        if part.http_status_code >= 300:
            raise RequestError.of(part.http_status_code, _encode(part.body))
        page = _read(_encode(part.body), _Page)
        records = page.records
        while not page.done:
            answer = await self._session.call("query", "GET", page.next_records_url)
            page = _read(answer.body, _Page)
            records += page.records
        return records

    async def create_job(self, object_: str, field: str) -> str:
        """`POST jobs/ingest`."""
        wanted = {
            "object": object_,
            "operation": "upsert",
            "externalIdFieldName": field,
            "contentType": "CSV",
            "lineEnding": "LF",
            "columnDelimiter": "COMMA",
        }
        path = self._session.path("jobs/ingest")
        answer = await self._session.call("bulk_create", "POST", path, body=_encode(wanted))
        return _job(answer.body).id

    async def upload(self, job: str, data: bytes) -> None:
        """`PUT jobs/ingest/ID/batches`."""
        await self._session.call(
            "bulk_upload",
            "PUT",
            self._job_path(job, "/batches"),
            body=data,
            headers={"Content-Type": "text/csv; charset=UTF-8"},
        )

    async def start_job(self, job: str) -> None:
        """`PATCH jobs/ingest/ID` to UploadComplete."""
        await self._set(job, "UploadComplete")

    async def abort_job(self, job: str) -> None:
        """`PATCH jobs/ingest/ID` to Aborted."""
        await self._set(job, "Aborted")

    async def _set(self, job: str, state: str) -> None:
        await self._session.call("bulk_state", "PATCH", self._job_path(job), body=_encode({"state": state}))

    async def job(self, job: str) -> Job | None:
        """`GET jobs/ingest/ID`; Salesforce removes a job seven days after its end."""
        try:
            answer = await self._session.call("bulk_poll", "GET", self._job_path(job))
        except RequestError as error:
            if error.status == 404 or error.code in ("NOT_FOUND", "INVALID_ID_FIELD", "MALFORMED_ID"):
                return None
            raise
        return _job(answer.body)

    async def results(self, job: str, which: Results) -> bytes:
        """`GET jobs/ingest/ID/successfulResults` and its like."""
        path = self._job_path(job, f"/{which}")
        try:
            answer = await self._session.call("bulk_results", "GET", path, headers={"Accept": "text/csv"})
        except RequestError as error:
            if error.status == 404:  # removed meanwhile: rows without a result are sent again
                return b""
            raise
        return answer.body

    def _job_path(self, job: str, rest: str = "") -> str:
        return self._session.path(f"jobs/ingest/{quote(job, safe='')}{rest}")

    async def describe(self, object_: str) -> Description | None:
        """Through simple-salesforce where it can (https), so that a second client's view of the org counts."""
        return await self._describer.describe(object_)

    async def limits(self) -> Usage | None:
        """`GET limits`."""
        answer = await self._session.call("limits", "GET", self._session.path("limits"))
        return budget.read_limits(_read(answer.body, dict[str, Any])) or self.usage


class _JobInfo(msgspec.Struct, rename="camel"):
    id: str
    state: str
    number_records_failed: int | None = None
    error_message: str | None = None


class _RowResult(msgspec.Struct):
    success: bool
    id: str | None = None
    created: bool = False
    errors: list[dict[str, Any]] = []


class _Page(msgspec.Struct, rename="camel"):
    records: list[dict[str, Any]]
    done: bool = True
    next_records_url: str = ""


def _read(body: bytes, type_: type[_T]) -> _T:
    """A success whose body is not what it should be comes from something in between (a proxy's page)."""
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.DecodeError as error:
        raise RequestError(Kind.REQUEST, "unreadable", str(error), 200) from None


def _job(body: bytes) -> Job:
    told = _read(body, _JobInfo)
    return Job(told.id, told.state, told.number_records_failed or 0, told.error_message or "")


def _row_answers(body: bytes, field: str, count: int) -> list[RowAnswer]:
    told = _read(body, list[_RowResult])
    if len(told) != count:
        raise RequestError(Kind.REQUEST, "unreadable", f"Not one answer for each of {count} rows.", 200)
    answers = []
    for row in told:
        if row.success:
            answers.append(RowAnswer(id=row.id, created=row.created))
        else:
            kind, error = row_error(row.errors, field)
            answers.append(RowAnswer(kind=kind, error=error))
    return answers
