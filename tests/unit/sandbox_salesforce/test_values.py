from __future__ import annotations

from typing import Any

import pytest

from stream.sandbox.salesforce import values
from stream.sandbox.salesforce.errors import RowError
from stream.sandbox.salesforce.identifiers import make
from stream.sandbox.salesforce.schema import Field, Scalar, Schema

ACCOUNT = make("001", 7)


def field(**told: Any) -> Field:
    return Field(name="F__c", label="F", **told)


@pytest.mark.parametrize(
    ("told", "raw", "held"),
    [
        ({"length": 5}, "  ab ", "ab"),
        ({"length": 5}, "   ", None),
        ({"length": 5}, None, None),
        ({"length": 5}, 12, "12"),
        ({"length": 5}, True, "true"),
        ({"type": "textarea", "length": 9}, "a\nb", "a\nb"),
        ({"type": "email"}, "Jo.O'Hara+1@mail.example.com", "Jo.O'Hara+1@mail.example.com"),
        ({"type": "picklist", "values": ("High", "Low")}, "HIGH", "High"),
        ({"type": "picklist", "values": ("High", "Low")}, "Other", "Other"),
        ({"type": "boolean"}, True, True),
        ({"type": "boolean"}, "FALSE", False),
        ({"type": "boolean"}, None, False),
        ({"type": "int", "precision": 4}, 42.0, 42),
        ({"type": "int", "precision": 4}, "-9999", -9999),
        ({"type": "double"}, "1.005", 1.01),
        ({"type": "currency"}, 19.99, 19.99),
        ({"type": "currency"}, -0.001, 0.0),
        ({"type": "percent", "precision": 3, "scale": 0}, 10, 10.0),
        ({"type": "date"}, "2026-02-28", "2026-02-28"),
        ({"type": "date"}, "2026-02-28T23:59:59Z", "2026-02-28"),
        ({"type": "datetime"}, "2026-01-01T01:30:00+02:00", "2025-12-31T23:30:00.000+0000"),
        ({"type": "datetime"}, "2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00.500+0000"),
        ({"type": "reference", "to": ("Account",)}, ACCOUNT[:15], ACCOUNT),
    ],
)
def test_what_is_held(schema: Schema, told: dict[str, Any], raw: Any, held: Scalar) -> None:
    found = values.read(field(**told), raw, schema, "json")
    assert found == held
    assert type(found) is type(held)


@pytest.mark.parametrize(
    ("told", "raw", "code"),
    [
        ({"length": 2}, "abc", "STRING_TOO_LONG"),
        ({"length": 2}, {"a": 1}, "JSON_PARSER_ERROR"),
        ({"length": 2}, ["a"], "JSON_PARSER_ERROR"),
        ({"type": "email"}, "nobody", "INVALID_EMAIL_ADDRESS"),
        ({"type": "email"}, "a@b", "INVALID_EMAIL_ADDRESS"),
        ({"type": "email"}, "a b@c.de", "INVALID_EMAIL_ADDRESS"),
        (
            {"type": "picklist", "restricted": True, "values": ("a",)},
            "b",
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        ),
        ({"type": "boolean"}, "yes", "JSON_PARSER_ERROR"),
        ({"type": "boolean"}, 1, "JSON_PARSER_ERROR"),
        ({"type": "int"}, 1.5, "JSON_PARSER_ERROR"),
        ({"type": "int"}, True, "JSON_PARSER_ERROR"),
        ({"type": "int", "precision": 4}, 10000, "NUMBER_OUTSIDE_VALID_RANGE"),
        ({"type": "double", "precision": 5, "scale": 2}, -1000, "NUMBER_OUTSIDE_VALID_RANGE"),
        ({"type": "double"}, "1e999999", "NUMBER_OUTSIDE_VALID_RANGE"),
        ({"type": "double"}, "NaN", "NUMBER_OUTSIDE_VALID_RANGE"),
        ({"type": "double"}, "twelve", "JSON_PARSER_ERROR"),
        ({"type": "date"}, "24.11.2026", "JSON_PARSER_ERROR"),
        ({"type": "date"}, "2026-02-30", "JSON_PARSER_ERROR"),
        ({"type": "date"}, 20260101, "JSON_PARSER_ERROR"),
        ({"type": "datetime"}, "now", "JSON_PARSER_ERROR"),
        ({"type": "reference", "to": ("Account",)}, "001", "MALFORMED_ID"),
        ({"type": "reference", "to": ("Contact",)}, ACCOUNT, "MALFORMED_ID"),
    ],
)
def test_what_is_refused(schema: Schema, told: dict[str, Any], raw: Any, code: str) -> None:
    with pytest.raises(RowError) as refused:
        values.read(field(**told), raw, schema, "json")
    assert refused.value.code == code
    if code != "JSON_PARSER_ERROR":
        assert refused.value.fields == ["F__c"]


@pytest.mark.parametrize(
    ("kind", "raw"), [("int", "250.0"), ("boolean", "yes"), ("date", "x"), ("double", "x")]
)
def test_a_wrong_type_in_a_csv_is_told_differently(schema: Schema, kind: Any, raw: str) -> None:
    with pytest.raises(RowError) as refused:
        values.read(field(type=kind), raw, schema, "csv")
    assert refused.value.as_cell() == (
        f"INVALID_TYPE_ON_FIELD_IN_RECORD:F: value not of required type: {raw}:F__c --"
    )
