"""A write as a row on its way to Salesforce, and how it is written in JSON and in CSV. Pure."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from stream.records import EventRef, Reference, Scalar, Write

# Relationships that can point to several objects: the parent's object must be named.
POLYMORPHIC = ("What", "Who")

# Bulk API: an empty cell leaves the field as it is, this one clears it.
NULL_CELL = "#N/A"

_json = msgspec.json.Encoder(order="sorted").encode


class Row(msgspec.Struct, eq=False):
    """One write that has been read and not yet settled, with the record it came in.

    `digest` stands for the content alone, so that two writes of one content are alike whatever events asked for
    them; `size` is its bytes as JSON. `tries` counts its own refusals, `suspected` the calls that failed as a
    whole with it inside, `witnessed` the calls that had passed when it last failed alone; `not_before` (monotonic
    seconds) holds it back. `waited` are the events of the writes it superseded. `replay` is
    a write of a replay, which is sent even if it was confirmed.
    """

    write: Write
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
    digest: bytes = b""
    size: int = 0
    seen: int = 0
    tries: int = 0
    suspected: int = 0
    witnessed: int = -1
    not_before: float = float("-inf")
    matched_by: str | None = None
    waited: tuple[EventRef, ...] = ()
    replay: bool = False

    @property
    def parents(self) -> list[str]:
        """The keys of the writes that it refers to."""
        return [f"{parent.object}:{parent.external_id}" for parent in self.write.parents.values()]


def row(
    write: Write,
    partition: int,
    offset: int,
    key: bytes | None = None,
    value: bytes = b"",
    headers: tuple[tuple[str, bytes], ...] = (),
    *,
    replay: bool = False,
) -> Row:
    """A write that has just been read."""
    content = body(write)
    digest = blake2b(content + (_json(write.closing) if write.closing else b""), digest_size=16).digest()
    return Row(write, partition, offset, key, value, headers, digest, len(content), replay=replay)


def body(write: Write) -> bytes:
    """The record of a Collections upsert (REST API Developer Guide: "Upsert Multiple Records with Fewer
    Round-Trips"); parents by external ID ("Relationship Fields in Records")."""
    record: dict[str, Scalar | dict[str, Scalar | dict[str, str]]] = {**write.fields}
    record[write.external_id_field] = write.external_id
    record["attributes"] = {"type": write.object}
    for name, parent in write.parents.items():
        reference: dict[str, Scalar | dict[str, str]] = {parent.field: parent.external_id}
        if name in POLYMORPHIC:
            reference["attributes"] = {"type": parent.object}
        record[name] = reference
    return _json(record)


def cells(write: Write) -> dict[str, str]:
    """The row of a Bulk upsert by column (Bulk API 2.0: "Relationship Fields in a Header Row")."""
    row = {name: _cell(value) for name, value in write.fields.items()}
    row[write.external_id_field] = write.external_id
    for name, parent in write.parents.items():
        row[_column(name, parent)] = parent.external_id
    return row


def fits_csv(write: Write) -> bool:
    """False when a text would be taken for the mark that clears a field."""
    return NULL_CELL not in write.fields.values()


def _column(name: str, parent: Reference) -> str:
    relationship = f"{parent.object}:{name}" if name in POLYMORPHIC else name
    return f"{relationship}.{parent.field}"


def _cell(value: Scalar) -> str:
    if value is None or value == "":
        return NULL_CELL
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)
