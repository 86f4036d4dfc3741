"""A Bulk API 2.0 upsert job: its data, its results, and how it survives a crash. Pure.

Results come back in any order, so rows are found again by the external ID's column. A job's ID is kept in
Kafka, as metadata of the partitions' committed offsets, before Salesforce is told to begin.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from stream.records import Write
from stream.salesforce.errors import bulk_error, row_kind
from stream.salesforce.port import RowAnswer
from stream.salesforce.rows import cells

ID, CREATED, ERROR = "sf__Id", "sf__Created", "sf__Error"

# Kafka's default `offset.metadata.max.bytes`.
MAX_METADATA = 4096

ENDED = ("JobComplete", "Failed", "Aborted")

csv.field_size_limit(10 * 1024 * 1024)  # Salesforce takes 400,000 characters a record


class Kept(msgspec.Struct, frozen=True):
    """A job as a partition's metadata tells of it: rows of its object below the offset `end` may be in it."""

    id: str
    object: str
    end: int


class _Metadata(msgspec.Struct, frozen=True):
    jobs: tuple[Kept, ...] = ()


def metadata(jobs: Iterable[Kept]) -> str:
    """What is committed beside an offset; empty without a job."""
    kept = tuple(jobs)
    return msgspec.json.encode(_Metadata(kept)).decode() if kept else ""


def read_metadata(text: str | None) -> tuple[Kept, ...]:
    """The jobs of a partition; none where the text is empty or another program's."""
    try:
        return msgspec.json.decode(text or "{}", type=_Metadata).jobs
    except msgspec.DecodeError:
        return ()


def data(writes: Sequence[Write]) -> bytes:
    """The job's CSV. A field that a row does not have stays an empty cell, which changes nothing."""
    rows = [cells(write) for write in writes]
    columns = sorted({column for row in rows for column in row})
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def read(result: bytes) -> list[dict[str, str]]:
    """The rows of a result set."""
    return list(csv.DictReader(io.StringIO(result.decode("utf-8-sig"), newline="")))


def answers(
    writes: Iterable[Write],
    succeeded: Iterable[Mapping[str, str]],
    failed: Iterable[Mapping[str, str]],
    field: str,
    *,
    compare: bool = False,
) -> list[RowAnswer | None]:
    """What became of each write: None for one that the job did not try.

    With `compare`, the job is one of an earlier life, and a write counts only if the job had just this content.
    """
    told: dict[str, tuple[RowAnswer, Mapping[str, str]]] = {}
    for row in succeeded:
        answer = RowAnswer(id=row[ID], created=row[CREATED].lower() == "true")
        told[row.get(field, "")] = (answer, row)
    for row in failed:
        error = bulk_error(row[ERROR])
        told[row.get(field, "")] = (RowAnswer(kind=row_kind(error, field), error=error), row)
    found: list[RowAnswer | None] = []
    for write in writes:
        known = told.get(write.external_id)
        found.append(known[0] if known and (not compare or _same(cells(write), known[1])) else None)
    return found


def _same(sent: Mapping[str, str], told: Mapping[str, str]) -> bool:
    """Whether a result row is this row: every column as we would send it now, and nothing more in others."""
    return all(_plain(told.get(column)) == _plain(value) for column, value in sent.items()) and all(
        column in sent or column in (ID, CREATED, ERROR) or not value for column, value in told.items()
    )


def _plain(value: str | None) -> str:
    return (value or "").replace("\r\n", "\n")
