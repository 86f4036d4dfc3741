"""What the writer asks of Salesforce. The real client and the tests' fake both are one of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from stream.records import RowError, Scalar, Write
from stream.salesforce.budget import Usage
from stream.salesforce.errors import Kind

Results = Literal["successfulResults", "failedResults", "unprocessedrecords"]


class RowAnswer(msgspec.Struct, frozen=True):
    """Salesforce's answer to one row: its ID and whether it is new, or the error and its class."""

    id: str | None = None
    created: bool = False
    kind: Kind | None = None
    error: RowError | None = None


class Job(msgspec.Struct, frozen=True):
    """A Bulk API 2.0 job: Open, UploadComplete, InProgress, JobComplete, Failed or Aborted."""

    id: str
    state: str
    failed: int = 0
    message: str = ""


class Field(msgspec.Struct, frozen=True, rename="camel"):
    """A field as an object's describe tells of it; one that our user may not see is not told of at all."""

    name: str
    updateable: bool = True
    createable: bool = True
    external_id: bool = False
    unique: bool = False
    case_sensitive: bool = False


class Description(msgspec.Struct, frozen=True):
    """An object as our user may see it."""

    name: str
    fields: tuple[Field, ...]
    updateable: bool = True
    createable: bool = True


class Salesforce(Protocol):
    """Every call raises RequestError when it is refused as a whole or gets no answer. A refused row does not
    raise: its answer carries the error."""

    @property
    def usage(self) -> Usage | None:
        """The org's daily calls, as the last answer told."""

    async def upsert(self, object_: str, field: str, writes: Sequence[Write]) -> list[RowAnswer]:
        """Upserts up to 200 records of one object by external ID; answers in the same order."""

    async def stamp(self, object_: str, field: str, ids: Mapping[str, str]) -> list[RowAnswer]:
        """Sets the external ID, and nothing else, of up to 200 records: Salesforce ID → external ID."""

    async def update(self, object_: str, changes: Mapping[str, Mapping[str, Scalar]]) -> list[RowAnswer]:
        """Changes up to 200 records by Salesforce ID; answers in the same order."""

    async def query(self, queries: Sequence[str]) -> list[list[dict[str, Any]]]:
        """The records of up to five SOQL queries, all of them, by query."""

    async def create_job(self, object_: str, field: str) -> str:
        """Opens a Bulk upsert job and gives its ID."""

    async def upload(self, job: str, data: bytes) -> None:
        """Puts a job's CSV; once per job."""

    async def start_job(self, job: str) -> None:
        """Tells Salesforce that the data is whole (UploadComplete)."""

    async def abort_job(self, job: str) -> None:
        """Ends a job that has not begun."""

    async def job(self, job: str) -> Job | None:
        """A job's state; None when Salesforce does not know it (any more: seven days after its end)."""

    async def results(self, job: str, which: Results) -> bytes:
        """One of a job's three sets of results, as CSV."""

    async def describe(self, object_: str) -> Description | None:
        """An object and its fields; None when the org has no such object, or hides it from our user."""

    async def limits(self) -> Usage | None:
        """Asks for the org's daily calls. Costs one of them."""
