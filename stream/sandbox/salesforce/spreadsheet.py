"""The CSV of Bulk API 2.0, in and out ("Prepare Data to Ingest", "Relationship Fields in a Header Row").

An empty cell leaves a field as it is, `#N/A` clears it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

from stream.sandbox.salesforce.schema import Entity, Schema

DELIMITERS = {"BACKQUOTE": "`", "CARET": "^", "COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "TAB": "\t"}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
NULL = "#N/A"

# `Account.Stripe_Customer_Id__c`, and `Account:What.Stripe_Customer_Id__c` where the parent may be of many objects.
_PARENT = re.compile(r"(?:(?P<type>\w+):)?(?P<relationship>\w+)\.(?P<field>\w+)")

csv.field_size_limit(2**27)  # cells may hold 32,000 characters, and the error for more is ours to tell


class SheetError(Exception):
    """The data cannot be taken at all; the job fails with this message."""


def parse(data: bytes, delimiter: str, line_ending: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows. Raises SheetError."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SheetError("InvalidBatch : data is not UTF-8") from None
    head = text.partition("\n")[0]
    if "\n" in text and head.endswith("\r") != (line_ending == "CRLF"):
        raise SheetError(
            "ClientInputError : LineEnding is invalid on user data. "
            f"Current LineEnding setting is {line_ending}"
        )
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=DELIMITERS[delimiter], strict=True)
    try:
        rows = [row for row in reader if row]
    except csv.Error as error:
        raise SheetError(f"InvalidBatch : Failed to parse CSV: {error}") from None
    if not rows:
        raise SheetError("InvalidBatch : Unable to find the header row")
    header, *rest = rows
    for number, row in enumerate(rest, start=1):
        if len(row) != len(header):
            raise SheetError(
                f"InvalidBatch : row {number} has {len(row)} columns, the header row has {len(header)}"
            )
    return header, rest


def check(header: Sequence[str], entity: Entity, schema: Schema, key: str | None) -> None:
    """Raises SheetError for a column that the object does not have, or a missing key column."""
    for column in header:
        parent = _PARENT.fullmatch(column)
        if parent is None:
            known = entity.field(column) is not None
        else:
            reference = entity.parent(parent["relationship"])
            target = schema.entity(parent["type"] or (reference.to[0] if reference else ""))
            known = reference is not None and target is not None and target.field(parent["field"]) is not None
        if not known:
            raise SheetError(f"InvalidBatch : Field name not found : {column}")
    if key is not None and key.casefold() not in {column.casefold() for column in header}:
        raise SheetError(f"InvalidBatch : Field name not found : {key}")


def record(header: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    """A row in the shape that a record has in JSON: without the empty cells, parents as objects within."""
    found: dict[str, Any] = {}
    for column, cell in zip(header, cells, strict=True):
        if not cell:
            continue
        value = None if cell == NULL else cell
        parent = _PARENT.fullmatch(column)
        if parent is None:
            found[column] = value
        elif value is None:
            found[parent["relationship"]] = None
        else:
            told: dict[str, Any] = {parent["field"]: value}
            if parent["type"]:
                told["attributes"] = {"type": parent["type"]}
            found[parent["relationship"]] = told
    return found


def write(rows: Iterable[Sequence[str]], delimiter: str, line_ending: str) -> str:
    """Rows as text."""
    out = io.StringIO()
    csv.writer(out, delimiter=DELIMITERS[delimiter], lineterminator=LINE_ENDINGS[line_ending]).writerows(rows)
    return out.getvalue()
