from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from stream.sandbox.salesforce.dml import Dml, Saved
from stream.sandbox.salesforce.errors import RowError
from stream.sandbox.salesforce.identifiers import make
from stream.sandbox.salesforce.schema import Schema
from stream.sandbox.salesforce.store import Store
from tests.unit.sandbox_salesforce.conftest import NOW, USER, Insert

KEY = "Stripe_Customer_Id__c"


def refused(work: Callable[[], Any]) -> RowError:
    with pytest.raises(RowError) as caught:
        work()
    return caught.value


def upsert(dml: Dml, name: str, value: Any, **given: Any) -> Saved:
    entity = dml.schema.entities[name]
    return dml.upsert(entity, entity.fields[KEY], value, given)


def test_an_insert_has_defaults_owner_and_stamps(insert: Insert, store: Store) -> None:
    row = store.get("Account", insert("Account", Name="Acme"))
    assert row is not None
    assert row["OwnerId"] == row["CreatedById"] == row["LastModifiedById"] == USER
    assert row["CreatedDate"] == row["SystemModstamp"] == NOW
    assert row["Stripe_Deleted__c"] is False
    assert str(row["Id"]).startswith("001")


def test_an_upsert_creates_then_updates_and_clears(dml: Dml, store: Store) -> None:
    first = upsert(dml, "Account", "cus_1", Name="Acme", Phone="1")
    second = upsert(dml, "Account", "cus_1", Phone=None, BillingCity="Rome")
    assert (first.created, second.created) == (True, False)
    assert first.identifier == second.identifier
    row = store.get("Account", first.identifier) or {}
    assert (row["Name"], row.get("Phone"), row["BillingCity"]) == ("Acme", None, "Rome")


def test_external_ids_differ_by_case(dml: Dml) -> None:
    one = upsert(dml, "Account", "cus_A", Name="a")
    other = upsert(dml, "Account", "cus_a", Name="b")
    assert one.identifier != other.identifier
    folded = dml.schema.entities["Account"].fields["Old_Id__c"]
    first = dml.upsert(dml.schema.entities["Account"], folded, "X1", {"Name": "c"})
    again = dml.upsert(dml.schema.entities["Account"], folded, "x1", {"Name": "d"})
    assert again.identifier == first.identifier


def test_several_records_with_the_external_id(insert: Insert, dml: Dml, schema: Schema) -> None:
    insert("Account", Name="a", Old_Id__c="7")
    insert("Account", Name="b", Old_Id__c="7")
    account = schema.entities["Account"]
    error = refused(partial(dml.upsert, account, account.fields["Old_Id__c"], "7", {}))
    assert error.code == "DUPLICATE_EXTERNAL_ID"


def test_a_parent_is_named_by_its_external_id(insert: Insert, dml: Dml, store: Store) -> None:
    account = insert("Account", Name="Acme", Stripe_Customer_Id__c="cus_1")
    contact = upsert(dml, "Contact", "cus_1", LastName="Lee", Account={KEY: "cus_1"})
    assert (store.get("Contact", contact.identifier) or {})["AccountId"] == account
    upsert(dml, "Contact", "cus_1", Account=None)
    assert "AccountId" not in (store.get("Contact", contact.identifier) or {})


def test_a_polymorphic_parent_names_its_object(insert: Insert, store: Store) -> None:
    account = insert("Account", Name="Acme", Stripe_Customer_Id__c="cus_1")
    task = insert("Task", Subject="Call", What={"attributes": {"type": "Account"}, KEY: "cus_1"})
    row = store.get("Task", task) or {}
    assert row["WhatId"] == row["AccountId"] == account
    error = refused(partial(insert, "Task", Subject="Call", What={KEY: "cus_1"}))
    assert error.code == "INVALID_FIELD"


@pytest.mark.parametrize(
    ("name", "given", "code", "fields"),
    [
        ("Account", {}, "REQUIRED_FIELD_MISSING", ["Name"]),
        ("Account", {"Name": None}, "REQUIRED_FIELD_MISSING", ["Name"]),
        ("Opportunity", {"Name": "x"}, "REQUIRED_FIELD_MISSING", ["StageName", "CloseDate"]),
        ("Account", {"Name": "x", "Nope__c": 1}, "INVALID_FIELD", []),
        ("Account", {"Name": "x", "Phone": {}}, "JSON_PARSER_ERROR", []),
        ("Account", {"Id": make("001", 9), "Name": "x"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["Id"]),
        (
            "Account",
            {"Name": "x", "CreatedDate": "2026-01-01"},
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            ["CreatedDate"],
        ),
        ("Task", {"AccountId": make("001", 9)}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["AccountId"]),
        (
            "Contact",
            {"LastName": "x", "AccountId": make("001", 9)},
            "INVALID_CROSS_REFERENCE_KEY",
            ["AccountId"],
        ),
        ("Contact", {"LastName": "x", "AccountId": make("003", 9)}, "MALFORMED_ID", ["AccountId"]),
        ("Contact", {"LastName": "x", "Account": {KEY: "cus_0"}}, "INVALID_FIELD", []),
        ("Contact", {"LastName": "x", "Account": {"Phone": "1"}}, "INVALID_FIELD", ["AccountId"]),
        ("Contact", {"LastName": "x", "Account": {}}, "INVALID_FIELD", ["AccountId"]),
        ("Contact", {"LastName": "x", "Account": "cus_0"}, "INVALID_FIELD", []),
        ("Account", {"Name": "x", "Tier__c": "Gold"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", ["Tier__c"]),
        ("Account", {"Name": "x", "Seats__c": 123456}, "NUMBER_OUTSIDE_VALID_RANGE", ["Seats__c"]),
    ],
)
def test_what_an_insert_refuses(
    insert: Insert, name: str, given: dict[str, Any], code: str, fields: list[str]
) -> None:
    error = refused(partial(insert, name, **given))
    assert (error.code, error.fields) == (code, fields)


def test_a_missing_parent_is_told_in_salesforces_words(insert: Insert) -> None:
    error = refused(partial(insert, "Contact", LastName="x", Account={KEY: "cus_0"}))
    assert error.message == f"Foreign key external ID: cus_0 not found for field {KEY} in entity Account"


def test_a_unique_value_is_held_once(insert: Insert, dml: Dml, schema: Schema) -> None:
    first = insert("Account", Name="a", Stripe_Customer_Id__c="cus_1")
    error = refused(partial(insert, "Account", Name="b", Stripe_Customer_Id__c="cus_1"))
    assert error.code == "DUPLICATE_VALUE"
    assert first in error.message
    dml.delete(schema.entities["Account"], first)
    insert("Account", Name="b", Stripe_Customer_Id__c="cus_1")


def test_what_is_deleted_or_unknown(insert: Insert, dml: Dml, schema: Schema) -> None:
    account = schema.entities["Account"]
    gone = insert("Account", Name="a")
    dml.delete(account, gone[:15])
    assert refused(partial(dml.update, account, gone, {"Name": "b"})).code == "ENTITY_IS_DELETED"
    assert refused(partial(dml.delete, account, gone)).code == "ENTITY_IS_DELETED"
    error = refused(partial(insert, "Contact", LastName="x", AccountId=gone))
    assert error.code == "ENTITY_IS_DELETED"
    unknown = make("001", 999)
    assert refused(partial(dml.update, account, unknown, {})).code == "INVALID_CROSS_REFERENCE_KEY"
    assert refused(partial(dml.update, account, "003", {})).code == "MALFORMED_ID"


def test_children_go_or_stay_with_their_parent(
    insert: Insert, dml: Dml, store: Store, schema: Schema
) -> None:
    account = insert("Account", Name="a")
    contact = insert("Contact", LastName="x", AccountId=account)
    case = insert("Case", Subject="x", AccountId=account)
    dml.delete(schema.entities["Account"], account)
    assert store.get("Contact", contact) is None
    assert store.binned("Contact", contact)
    assert "AccountId" not in (store.get("Case", case) or {"AccountId": 1})


def test_a_product_that_is_sold_cannot_go(insert: Insert, dml: Dml, store: Store, schema: Schema) -> None:
    book = make("01s", 1)
    store.put("Pricebook2", book, {"Id": book, "Name": "Standard", "IsStandard": True})
    product = insert("Product2", Name="Pro")
    price = insert("PricebookEntry", Pricebook2Id=book, Product2Id=product, UnitPrice=10)
    deal = insert("Opportunity", Name="d", StageName="Prospecting", CloseDate="2026-01-01")
    insert("OpportunityLineItem", OpportunityId=deal, PricebookEntryId=price, Quantity=1)
    assert refused(partial(dml.delete, schema.entities["Product2"], product)).code == "DELETE_FAILED"


def test_each_row_stands_alone_or_all_fall(dml: Dml, store: Store, schema: Schema) -> None:
    account = schema.entities["Account"]
    rows = [partial(dml.insert, account, given) for given in ({"Name": "a"}, {}, {"Name": "c"})]
    outcomes = dml.each(rows, all_or_none=False)
    assert [isinstance(outcome, Saved) for outcome in outcomes] == [True, False, True]
    assert dml.counted["Account", "created"] == 2
    outcomes = dml.each(rows, all_or_none=True)
    assert [error.code for error in outcomes if isinstance(error, RowError)] == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "REQUIRED_FIELD_MISSING",
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    ]
    assert len(list(store.rows("Account"))) == 2
    assert dml.counted["Account", "created"] == 2


def test_a_write_locks_the_record_and_its_parents(insert: Insert, dml: Dml) -> None:
    account = insert("Account", Name="a")
    other = insert("Account", Name="b")
    contact = insert("Contact", LastName="x", AccountId=account)
    dml.touched.clear()
    task = insert("Task", Subject="s", WhoId=contact)
    assert dml.touched == {task, contact, account}
    dml.touched.clear()
    dml.update(dml.schema.entities["Contact"], contact, {"AccountId": other})
    assert dml.touched == {contact, account, other}


def test_a_row_whose_lock_is_held_is_refused(insert: Insert, store: Store, schema: Schema) -> None:
    account = insert("Account", Name="a")
    later = Dml(store, schema, now=NOW, user=USER, blocked=frozenset({account}))
    error = refused(
        partial(later.insert, schema.entities["Contact"], {"LastName": "x", "AccountId": account})
    )
    assert error.code == "UNABLE_TO_LOCK_ROW"
    assert account in error.message
    later.insert(schema.entities["Contact"], {"LastName": "y"})
