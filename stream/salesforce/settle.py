"""From a row's end to the records that tell of it. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from stream import deadletter
from stream.kafka.batches import Record
from stream.records import Outcome, Result, RowError, Write, encode
from stream.salesforce.advice import advised
from stream.salesforce.rows import Row
from stream.topics import DEAD_LETTERS, SALESFORCE_RESULTS, SALESFORCE_WRITES

Stage = Literal["decode", "match", "write"]

UNDECODABLE = "undecodable"
AMBIGUOUS = "ambiguous_match"
PARENT_MISSING = "parent_missing"


class Settled(msgspec.Struct, frozen=True):
    """A row whose outcome is known. `stage` is where it was refused."""

    row: Row
    outcome: Outcome
    salesforce_id: str | None = None
    error: RowError | None = None
    stage: Stage = "write"


def dead(row: Row, error: RowError, stage: Stage = "write") -> Settled:
    """A row that is set aside."""
    return Settled(row, "dead-lettered", error=advised(row.write.object, error), stage=stage)


def unreadable(
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes,
    headers: tuple[tuple[str, bytes], ...],
    *,
    replay: bool,
) -> Row:
    """A record that is no write, as a row: what its key says it is about, and nothing else."""
    object_, _, external_id = (key or b"").decode(errors="replace").partition(":")
    write = Write(object_, "", external_id, account="", version=0, fields={}, events=())
    return Row(write, partition, offset, key, value, headers, replay=replay)


def records(settled: Settled, at: int) -> list[Record]:
    """The result, and the dead letter if there is one; both in the partition of the write. `at`: epoch ms."""
    row, write = settled.row, settled.row.write
    result = Result(
        object=write.object,
        external_id=write.external_id,
        account=write.account,
        version=write.version,
        outcome=settled.outcome,
        events=write.events,
        at=at,
        salesforce_id=settled.salesforce_id,
        matched_by=row.matched_by,
        error=settled.error,
    )
    told = [Record(SALESFORCE_RESULTS, row.partition, row.key, encode(result))]
    if settled.error is not None:
        headers = deadletter.headers(
            row.headers,
            topic=SALESFORCE_WRITES,
            partition=row.partition,
            offset=row.offset,
            stage=settled.stage,
            error=settled.error,
            attempts=max(1, row.tries),
        )
        told.append(Record(DEAD_LETTERS, row.partition, row.key, row.value, tuple(headers)))
    return told
