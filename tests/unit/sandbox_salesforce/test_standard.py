from __future__ import annotations

from typing import Any

import pytest

from stream.sandbox.salesforce.dml import Dml
from stream.sandbox.salesforce.errors import RowError
from stream.sandbox.salesforce.identifiers import make
from stream.sandbox.salesforce.schema import Schema
from stream.sandbox.salesforce.store import Row, Store
from tests.unit.sandbox_salesforce.conftest import Insert

DEAL = {"Name": "d", "StageName": "Prospecting", "CloseDate": "2026-01-01"}


@pytest.fixture
def row(store: Store) -> Any:
    def held(name: str, identifier: str) -> Row:
        found = store.get(name, identifier)
        assert found is not None
        return found

    return held


@pytest.fixture
def price(insert: Insert, store: Store) -> str:
    """A product in the standard price book for 10."""
    book = make("01s", 1)
    store.put("Pricebook2", book, {"Id": book, "Name": "Standard", "IsStandard": True})
    product = insert("Product2", Name="Pro", ProductCode="P")
    return insert("PricebookEntry", Pricebook2Id=book, Product2Id=product, UnitPrice=10)


def test_a_person_has_a_name(insert: Insert, row: Any) -> None:
    assert row("Contact", insert("Contact", FirstName="Ada", LastName="Lovelace"))["Name"] == "Ada Lovelace"
    assert row("Contact", insert("Contact", LastName="Lovelace"))["Name"] == "Lovelace"


def test_a_stage_closes_a_deal(insert: Insert, dml: Dml, row: Any) -> None:
    deal = insert("Opportunity", **DEAL)
    assert (row("Opportunity", deal)["Probability"], row("Opportunity", deal)["IsClosed"]) == (10, False)
    dml.update(dml.schema.entities["Opportunity"], deal, {"StageName": "Closed Won"})
    held = row("Opportunity", deal)
    assert (held["Probability"], held["IsClosed"], held["IsWon"]) == (100, True, True)
    dml.update(dml.schema.entities["Opportunity"], deal, {"StageName": "Closed Lost", "Probability": 5})
    held = row("Opportunity", deal)
    assert (held["Probability"], held["IsClosed"], held["IsWon"]) == (5, True, False)


def test_products_make_the_amount(insert: Insert, dml: Dml, row: Any, price: str) -> None:
    deal = insert("Opportunity", **DEAL, Amount=1)
    line = insert("OpportunityLineItem", OpportunityId=deal, PricebookEntryId=price, Quantity=3)
    insert("OpportunityLineItem", OpportunityId=deal, PricebookEntryId=price, Quantity=2, TotalPrice=15)
    assert row("OpportunityLineItem", line)["TotalPrice"] == 30
    assert row("Opportunity", deal)["Amount"] == 45
    dml.update(dml.schema.entities["Opportunity"], deal, {"Amount": 7, "NextStep": "call"})
    held = row("Opportunity", deal)
    assert (held["Amount"], held["NextStep"]) == (45, "call")  # the amount is not changed, and no error told
    dml.delete(dml.schema.entities["OpportunityLineItem"], line)
    assert row("Opportunity", deal)["Amount"] == 15


def test_a_price_needs_a_standard_price(insert: Insert, store: Store) -> None:
    book = make("01s", 5)
    store.put("Pricebook2", book, {"Id": book, "Name": "Special", "IsStandard": False})
    product = insert("Product2", Name="Pro")
    with pytest.raises(RowError, match="STANDARD_PRICE_NOT_DEFINED"):
        insert("PricebookEntry", Pricebook2Id=book, Product2Id=product, UnitPrice=10)


def test_a_product_has_one_price_per_book(insert: Insert, row: Any, price: str) -> None:
    held = row("PricebookEntry", price)
    assert (held["Name"], held["ProductCode"]) == ("Pro", "P")
    with pytest.raises(RowError, match="DUPLICATE_VALUE"):
        insert(
            "PricebookEntry", Pricebook2Id=held["Pricebook2Id"], Product2Id=held["Product2Id"], UnitPrice=1
        )


def test_a_task_knows_its_account(insert: Insert, row: Any) -> None:
    account = insert("Account", Name="a")
    deal = insert("Opportunity", **DEAL, AccountId=account)
    contact = insert("Contact", LastName="x", AccountId=account)
    for parents in ({"WhatId": account}, {"WhatId": deal}, {"WhoId": contact}):
        held = row("Task", insert("Task", Subject="s", Priority="High", **parents))
        assert held["AccountId"] == account
        assert (held["Status"], held["IsClosed"], held["IsHighPriority"]) == ("Not Started", False, True)
    assert row("Task", insert("Task", Status="Completed"))["IsClosed"] is True


def test_a_case_has_a_number(insert: Insert, row: Any) -> None:
    account = insert("Account", Name="a")
    contact = insert("Contact", LastName="x", AccountId=account)
    first, second = (row("Case", insert("Case", ContactId=contact)) for _ in range(2))
    assert (first["CaseNumber"], second["CaseNumber"]) == ("00001001", "00001002")
    assert first["AccountId"] == account


def test_a_contact_joins_a_campaign_once(insert: Insert, row: Any, schema: Schema) -> None:
    campaign = insert("Campaign", Name="Win back")
    contact = insert("Contact", LastName="x")
    member = insert("CampaignMember", CampaignId=campaign, ContactId=contact, Status="Responded")
    assert row("CampaignMember", member)["HasResponded"] is True
    with pytest.raises(RowError, match="Already a campaign member"):
        insert("CampaignMember", CampaignId=campaign, ContactId=contact)
    insert("CampaignMember", CampaignId=campaign, ContactId=insert("Contact", LastName="y"))


def test_an_inactive_user_owns_nothing_new(insert: Insert) -> None:
    gone = insert("User", LastName="g", Username="g@x.example", Email="g@x.example", IsActive=False)
    with pytest.raises(RowError, match="INACTIVE_OWNER_OR_USER"):
        insert("Task", Subject="s", OwnerId=gone)
