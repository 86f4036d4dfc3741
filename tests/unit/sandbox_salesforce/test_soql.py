from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sandbox.salesforce.errors import ApiError
from stream.sandbox.salesforce.schema import Schema
from stream.sandbox.salesforce.soql.parser import parse
from stream.sandbox.salesforce.soql.plan import Plan
from stream.sandbox.salesforce.soql.tokens import tokens
from stream.sandbox.salesforce.store import Store
from tests.unit.sandbox_salesforce.conftest import Insert


@pytest.fixture
def select(insert: Insert, schema: Schema, store: Store) -> Any:
    """Runs `SELECT Name FROM Account …`, or a whole query; gives the first column."""
    accounts = [
        {"Name": "Acme", "Seats__c": 5, "Website": "https://acme.example", "Stripe_Customer_Id__c": "cus_A"},
        {"Name": "Bolt", "Seats__c": 10, "Phone": "100%", "Stripe_Customer_Id__c": "cus_a"},
        {"Name": "O'Neil", "Stripe_Delinquent__c": True},
        {"Name": "acme two", "Seats__c": 7, "Phone": "100"},
    ]
    ids = [insert("Account", **account) for account in accounts]
    contacts = (("Ann", ids[0], "ann@acme.example"), ("Bob", ids[1], "bob@bolt.example"), ("Cy", None, None))
    for name, account, email in contacts:
        insert("Contact", LastName=name, AccountId=account, Email=email)
    insert("Opportunity", Name="Old", StageName="Closed Won", CloseDate="2025-05-05", AccountId=ids[0])
    insert("Opportunity", Name="New", StageName="Prospecting", CloseDate="2026-05-05", AccountId=ids[1])

    def run(rest: str) -> list[Any]:
        text = rest if rest.startswith("SELECT") else " ".join(["SELECT Name FROM Account", rest])
        query = parse(text)
        plan = Plan(query, schema, store)
        return [plan.value(plan.columns[0], row) for row in plan.rows()]

    return run


@pytest.mark.parametrize(
    ("rest", "found"),
    [
        ("", ["Acme", "Bolt", "O'Neil", "acme two"]),
        ("WHERE Name = 'ACME'", ["Acme"]),
        ("where name = 'o\\'neil'", ["O'Neil"]),
        ("WHERE Stripe_Customer_Id__c = 'cus_a'", ["Bolt"]),
        ("WHERE Stripe_Customer_Id__c IN ('cus_A', 'cus_a', 'cus_z')", ["Acme", "Bolt"]),
        ("WHERE Stripe_Customer_Id__c NOT IN ('cus_A', null)", ["Bolt"]),
        ("WHERE Stripe_Customer_Id__c = null", ["O'Neil", "acme two"]),
        ("WHERE Stripe_Customer_Id__c != null AND Seats__c > 5", ["Bolt"]),
        ("WHERE Seats__c >= 7 AND (Name = 'Bolt' OR Phone = '100')", ["Bolt", "acme two"]),
        ("WHERE Seats__c < 7", ["Acme"]),
        ("WHERE Seats__c <= 7", ["Acme", "acme two"]),
        ("WHERE Seats__c <> 7", ["Acme", "Bolt", "O'Neil"]),
        ("WHERE NOT Name LIKE 'acme%'", ["Bolt", "O'Neil"]),
        ("WHERE NOT (Name LIKE 'acme%' OR Seats__c = 10)", ["O'Neil"]),
        ("WHERE Name LIKE '_olt'", ["Bolt"]),
        ("WHERE Phone LIKE '100\\%'", ["Bolt"]),
        ("WHERE Stripe_Delinquent__c = TRUE", ["O'Neil"]),
        ("WHERE Name IN ('acme') OR Name = 'Bolt'", ["Acme", "Bolt"]),
        ("WHERE Name IN ('acme') OR Seats__c = 10", ["Acme", "Bolt"]),
        ("ORDER BY Name", ["Acme", "acme two", "Bolt", "O'Neil"]),
        ("ORDER BY Seats__c DESC NULLS LAST, Name", ["Bolt", "acme two", "Acme", "O'Neil"]),
        ("ORDER BY Seats__c ASC", ["O'Neil", "Acme", "acme two", "Bolt"]),
        ("ORDER BY Stripe_Delinquent__c DESC, Name DESC LIMIT 2", ["O'Neil", "Bolt"]),
        ("ORDER BY Name LIMIT 2 OFFSET 1", ["acme two", "Bolt"]),
        ("LIMIT 0", []),
        ("SELECT a.Name FROM Account a WHERE a.Seats__c = 5", ["Acme"]),
        ("SELECT Name FROM Contact WHERE Account.Name = 'bolt'", ["Bob"]),
        ("SELECT Name FROM Contact WHERE Account.Stripe_Customer_Id__c IN ('cus_A')", ["Ann"]),
        ("SELECT Account.Name FROM Contact ORDER BY Email DESC NULLS LAST", ["Bolt", "Acme", None]),
        ("SELECT Name FROM Contact WHERE Email = 'ANN@acme.example'", ["Ann"]),
        ("SELECT Name FROM Contact WHERE Account.Seats__c > 5 AND Email != null", ["Bob"]),
        ("SELECT Name FROM Opportunity WHERE CloseDate >= 2026-01-01", ["New"]),
        ("SELECT Name FROM Opportunity WHERE IsWon = true", ["Old"]),
        ("SELECT Name FROM Opportunity WHERE CreatedDate > 2026-11-24T13:00:00+02:00", ["Old", "New"]),
        ("SELECT Name FROM Opportunity WHERE CreatedDate > 2026-11-24T12:00:00Z", []),
        ("SELECT Owner.LastName FROM Opportunity WHERE Name = 'New'", ["Integration"]),
    ],
)
def test_what_a_query_finds(select: Any, rest: str, found: list[Any]) -> None:
    assert select(rest) == found


def test_ids_are_taken_in_both_forms(select: Any) -> None:
    (identifier,) = select("SELECT Id FROM Account WHERE Name = 'Bolt'")
    assert select("WHERE Id = '" + identifier[:15] + "'") == ["Bolt"]
    assert select("SELECT Name FROM Contact WHERE AccountId IN ('{}')".replace("{}", identifier)) == ["Bob"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "MALFORMED_QUERY"),
        ("SELECT", "MALFORMED_QUERY"),
        ("SELECT Name", "MALFORMED_QUERY"),
        ("SELECT Name FROM", "MALFORMED_QUERY"),
        ("SELECT Name, FROM Account", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account WHERE", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account WHERE Name", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account WHERE Name = ", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account WHERE Name = 'open", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account WHERE Name = 'a\\q'", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account WHERE Name == 'a'", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account WHERE (Name = 'a'", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account WHERE Name IN ()", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account WHERE Name IN ('a',)", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account WHERE Name = 'a' AND Phone = 'b' OR Fax = 'c'", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account WHERE Name LIKE 5", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account LIMIT x", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account LIMIT -1", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account; DROP", "MALFORMED_QUERY"),
        ("SELECT COUNT(Id) FROM Account", "MALFORMED_QUERY"),
        ("SELECT (SELECT Id FROM Contacts) FROM Account", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact)", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account GROUP BY Name", "MALFORMED_QUERY"),
        ("SELECT Name FROM Opportunity WHERE CloseDate = TODAY", "MALFORMED_QUERY"),
        ("SELECT Name FROM Opportunity WHERE CloseDate = 2026-02-31", "MALFORMED_QUERY"),
        ("SELECT Name FROM Opportunity WHERE CreatedDate = 2026-02-31T00:00:00Z", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account WHERE " + "(" * 200 + "Name = 'a'" + ")" * 200, "MALFORMED_QUERY"),
        ("SELECT Name FROM Account WHERE Name = '" + "a" * 100_000 + "'", "MALFORMED_QUERY"),
        ("SELECT Name FROM Account OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE"),
        ("SELECT Name FROM Nothing", "INVALID_TYPE"),
        ("SELECT Nope FROM Account", "INVALID_FIELD"),
        ("SELECT Nope.Name FROM Account", "INVALID_FIELD"),
        ("SELECT Account.Nope FROM Contact", "INVALID_FIELD"),
        ("SELECT Name FROM Account WHERE Nope = 1", "INVALID_FIELD"),
        ("SELECT Name FROM Account ORDER BY Nope", "INVALID_FIELD"),
        ("SELECT Name FROM Account WHERE Seats__c = '5'", "INVALID_FIELD"),
        ("SELECT Name FROM Account WHERE Name = 5", "INVALID_FIELD"),
        ("SELECT Name FROM Account WHERE Stripe_Deleted__c = 'true'", "INVALID_FIELD"),
        ("SELECT Name FROM Account WHERE Id = 'x'", "INVALID_QUERY_FILTER_OPERATOR"),
        ("SELECT Name FROM Account WHERE Seats__c LIKE '5%'", "INVALID_QUERY_FILTER_OPERATOR"),
    ],
)
def test_what_a_query_cannot_be(schema: Schema, store: Store, query: str, code: str) -> None:
    with pytest.raises(ApiError) as refused:
        Plan(parse(query), schema, store)
    assert (refused.value.status, refused.value.code) == (400, code)


def test_an_error_shows_the_place(schema: Schema, store: Store) -> None:
    with pytest.raises(ApiError) as refused:
        Plan(parse("SELECT Id,\n  Nope FROM Account"), schema, store)
    assert refused.value.message.startswith(
        "\n  Nope FROM Account\n  ^\nERROR at Row:2:Column:3\nNo such column"
    )


@given(st.text(max_size=60))
def test_any_text_survives_quoting(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    assert tokens(f"'{quoted}'")[0].text == text


@given(st.text(alphabet="SELECTFROMWHEREANDORNOT ('),=<>!.%_\\123'\n", max_size=80))
def test_no_text_is_more_than_refused(text: str) -> None:
    for query in (text, " ".join(["SELECT Id FROM Account WHERE", text])):
        with suppress(ApiError):
            parse(query)


def test_a_condition_on_a_keyed_field_reads_no_other_rows(
    insert: Insert, schema: Schema, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert("Account", Name="a", Stripe_Customer_Id__c="cus_1")
    query = parse("SELECT Id FROM Account WHERE Stripe_Customer_Id__c IN ('cus_1') AND Phone = null")
    plan = Plan(query, schema, store)
    monkeypatch.setattr(Store, "rows", lambda *_, **__: pytest.fail("all rows were read"))
    assert len(plan.rows()) == 1
