from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sandbox.salesforce import spreadsheet
from stream.sandbox.salesforce.schema import Schema
from stream.sandbox.salesforce.spreadsheet import SheetError

CELLS = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=12)


@given(
    rows=st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=5),
    delimiter=st.sampled_from(sorted(spreadsheet.DELIMITERS)),
    line_ending=st.sampled_from(sorted(spreadsheet.LINE_ENDINGS)),
)
def test_what_is_written_is_read(rows: list[list[str]], delimiter: str, line_ending: str) -> None:
    text = spreadsheet.write([["A", "B"], *rows], delimiter, line_ending)
    assert spreadsheet.parse(text.encode(), delimiter, line_ending) == (["A", "B"], rows)


def test_a_row_is_a_record() -> None:
    header = ["Name", "Phone", "Fax", "Account.Ext__c", "Contact:Who.Ext__c", "Owner.Username"]
    assert spreadsheet.record(header, ["Acme", "", "#N/A", "x", "y", "#N/A"]) == {
        "Name": "Acme",
        "Fax": None,
        "Account": {"Ext__c": "x"},
        "Who": {"attributes": {"type": "Contact"}, "Ext__c": "y"},
        "Owner": None,
    }


@pytest.mark.parametrize(
    ("data", "line_ending", "told"),
    [
        (b"", "LF", "header row"),
        (b"A,B\n1\n", "LF", "row 1 has 1 columns"),
        (b'A\n"x', "LF", "parse CSV"),
        (b"A\r\n1\r\n", "LF", "LineEnding is invalid"),
        (b"A\n1\n", "CRLF", "LineEnding is invalid"),
        (b"A\n\xff\n", "LF", "UTF-8"),
    ],
)
def test_what_is_no_sheet(data: bytes, line_ending: str, told: str) -> None:
    with pytest.raises(SheetError, match=told):
        spreadsheet.parse(data, "COMMA", line_ending)


@pytest.mark.parametrize(
    ("name", "column", "known"),
    [
        ("Contact", "lastname", True),
        ("Contact", "Account.Stripe_Customer_Id__c", True),
        ("Task", "Account:What.Stripe_Customer_Id__c", True),
        ("Contact", "Nope__c", False),
        ("Contact", "Nope.Stripe_Customer_Id__c", False),
        ("Contact", "Account.Nope__c", False),
        ("Task", "Nope:What.Stripe_Customer_Id__c", False),
    ],
)
def test_columns_are_looked_up(schema: Schema, name: str, column: str, known: bool) -> None:
    entity = schema.entities[name]
    if known:
        spreadsheet.check([column], entity, schema, None)
    else:
        with pytest.raises(SheetError, match="Field name not found : "):
            spreadsheet.check([column], entity, schema, None)


def test_the_key_needs_a_column(schema: Schema) -> None:
    with pytest.raises(SheetError, match="Field name not found : Stripe_Id__c"):
        spreadsheet.check(["Subject"], schema.entities["Task"], schema, "Stripe_Id__c")
