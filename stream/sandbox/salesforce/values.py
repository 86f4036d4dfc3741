"""From what a client sends to what a field holds, or the reason why not.

Held are JSON scalars: text trimmed and never empty, references in their 18-character form, a date as
`2026-11-24`, a time in UTC as `2026-11-24T13:00:00.000+0000`, so that both sort as text. Codes and messages are
those of the SOAP API's `StatusCode`; JSON and CSV differ in how a wrong type is told.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Literal

from stream.sandbox.salesforce.errors import RowError
from stream.sandbox.salesforce.identifiers import normal
from stream.sandbox.salesforce.schema import NUMBERS, Field, Scalar, Schema

Source = Literal["json", "csv"]

_EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\.[A-Za-z]{2,}"
)
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ].*)?")  # a time of day is taken, and dropped
_TOKENS = {dict: "START_OBJECT value {", list: "START_ARRAY value [", bool: "VALUE_TRUE value true"}


def read(field: Field, raw: Any, schema: Schema, source: Source) -> Scalar:
    """The value to hold; None clears the field. Raises RowError."""
    if isinstance(raw, str):
        raw = raw.strip() or None
    if raw is None:
        return False if field.type == "boolean" else None
    if isinstance(raw, (dict, list)):
        raise _wrong_type(field, raw, "json")
    if field.type == "boolean":
        return _boolean(field, raw, source)
    if field.type in NUMBERS:
        return _number(field, raw, source)
    if field.type == "date":
        return _date(field, raw, source)
    if field.type == "datetime":
        return _time(field, raw, source)
    text = raw if isinstance(raw, str) else str(raw).lower() if isinstance(raw, bool) else str(raw)
    if field.type in ("id", "reference"):
        return reference(field, text, schema)
    return _text(field, text)


def _wrong_type(field: Field, raw: Any, source: Source) -> RowError:
    if source == "csv":
        return RowError(
            "INVALID_TYPE_ON_FIELD_IN_RECORD",
            f"{field.label}: value not of required type: {raw}",
            field.name,
        )
    kind = "string" if field.type in ("textarea", "email", "phone", "url", "picklist", "id") else field.type
    token = _TOKENS.get(type(raw), f"VALUE_STRING value {raw}")
    return RowError(
        "JSON_PARSER_ERROR",
        f"Cannot deserialize instance of {kind} from {token} or request may be missing a required field",
    )


def _text(field: Field, text: str) -> str:
    if field.length and len(text) > field.length:
        raise RowError(
            "STRING_TOO_LONG",
            f"{field.label}: data value too large: {text} (max length={field.length})",
            field.name,
        )
    if field.type == "email" and not _EMAIL.fullmatch(text):
        raise RowError("INVALID_EMAIL_ADDRESS", f"{field.label}: invalid email address: {text}", field.name)
    if field.type == "picklist":
        # The value is kept as the picklist spells it; one that is not restricted takes any other too.
        known = next((value for value in field.values if value.casefold() == text.casefold()), None)
        if known is None and field.restricted:
            raise RowError(
                "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
                f"{field.label}: bad value for restricted picklist field: {text}",
                field.name,
            )
        return known or text
    return text


def _boolean(field: Field, raw: Any, source: Source) -> bool:
    if isinstance(raw, bool):
        return raw
    folded = str(raw).casefold()
    if isinstance(raw, str) and folded in ("true", "false"):
        return folded == "true"
    if source == "csv" and folded in ("1", "0"):
        return folded == "1"
    raise _wrong_type(field, raw, source)


def _number(field: Field, raw: Any, source: Source) -> int | float:
    if isinstance(raw, bool):
        raise _wrong_type(field, raw, source)
    try:
        number = Decimal(str(raw))
    except InvalidOperation:
        raise _wrong_type(field, raw, source) from None
    # A whole number field refuses 250.0 in a CSV, and takes 250.0 in JSON.
    fraction = number != number.to_integral_value() if number.is_finite() else True
    if field.type == "int" and (fraction or (source == "csv" and "." in str(raw))):
        raise _wrong_type(field, raw, source)
    scale = 0 if field.type == "int" else field.scale
    if not number.is_finite() or abs(number) >= Decimal(10) ** (field.precision - scale):
        raise RowError(
            "NUMBER_OUTSIDE_VALID_RANGE",
            f"{field.label}: value outside of valid range on numeric field: {raw}",
            field.name,
        )
    if field.type == "int":
        return int(number)
    rounded = float(number.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP))
    return rounded if math.copysign(1, rounded) > 0 or rounded else 0.0


def _date(field: Field, raw: Any, source: Source) -> str:
    match = _DATE.fullmatch(raw) if isinstance(raw, str) else None
    try:
        return date.fromisoformat(match[1] if match else "").isoformat()
    except ValueError:
        raise _wrong_type(field, raw, source) from None


def _time(field: Field, raw: Any, source: Source) -> str:
    try:
        return timestamp(instant(raw))
    except (ValueError, TypeError):
        raise _wrong_type(field, raw, source) from None


def instant(text: str) -> datetime:
    """A point in time as Salesforce takes it; without an offset it is UTC. Raises ValueError, TypeError."""
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def timestamp(moment: datetime) -> str:
    """A point in time as Salesforce writes it."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}+0000"


def reference(field: Field, text: str, schema: Schema) -> str:
    """The 18-character form of an ID that this reference field may hold. Raises RowError."""
    identifier = normal(text)
    if identifier is None:
        raise RowError("MALFORMED_ID", f"{field.label}: malformed id {text}", field.name)
    if field.to and not any(schema.entities[target].prefix == identifier[:3] for target in field.to):
        raise RowError("MALFORMED_ID", f"{field.label}: id value of incorrect type: {text}", field.name)
    return identifier
