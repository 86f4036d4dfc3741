from __future__ import annotations

from typing import Any

import pytest

from stream.salesforce.org import external_id
from stream.sandbox.salesforce import schema as schemas
from stream.sandbox.salesforce.schema import SchemaError
from stream.settings import DEFAULT_MAPPING


@pytest.mark.parametrize("name", DEFAULT_MAPPING)
def test_the_org_has_what_the_default_mapping_writes(name: str) -> None:
    entity = schemas.load().entities[name]
    for field in DEFAULT_MAPPING[name]:
        assert entity.fields[field].writable == "always"
    key = entity.fields[external_id(name)]
    assert (key.external_id, key.unique, key.case_sensitive) == (True, True, True)


def test_names_are_found_in_any_case() -> None:
    schema = schemas.load()
    account = schema.entity("aCCount")
    assert account is schema.entities["Account"]
    assert account.field("stripe_customer_id__C") is account.fields["Stripe_Customer_Id__c"]
    owner = schema.entities["Contact"].parent("account")
    assert owner is schema.entities["Contact"].fields["AccountId"]


def test_a_patch_adds_changes_and_removes() -> None:
    before = schemas.load()
    after = before.patched(
        {
            "Account": {"fields": {"Plan__c": {"length": 10}, "Fax": None}},
            "Invoice__c": {"fields": {"Account__c": {"type": "reference", "to": ["Account"]}}},
            "Campaign": {"label": "Drive"},
        }
    )
    assert after.entities["Account"].fields["Plan__c"].length == 10
    assert "Fax" not in after.entities["Account"].fields
    assert "Fax" in before.entities["Account"].fields
    assert after.entities["Campaign"].label == "Drive"
    invoice = after.entities["Invoice__c"]
    assert invoice.prefix == "a00"
    assert invoice.parent("Account__r") is invoice.fields["Account__c"]
    assert "Invoice__c" not in after.patched({"Invoice__c": None}).entities


@pytest.mark.parametrize(
    ("patch", "named"),
    [
        ({"Nothing__c": None}, "Nothing__c"),
        ({"Account": {"fields": {"Nothing__c": None}}}, "Account.Nothing__c"),
        ({"Account": {"fields": {"X__c": {"type": "colour"}}}}, "Account"),
        ({"Account": {"fields": {"X__c": {"typ": "string"}}}}, "Account"),
        ({"Account": {"fields": {"X__c": {"type": "reference"}}}}, "Account.X__c"),
        ({"Account": {"fields": {"X__c": {"type": "reference", "to": ["Y"]}}}}, "Account.X__c"),
        ({"Account": None}, "Account"),
        ({"Account": 1}, "Account"),
        ({"X__c": {"prefix": "001"}}, "Account"),
        ({"X__c": {"prefix": "1"}}, "X__c"),
    ],
)
def test_a_patch_that_cannot_be_says_where(patch: Any, named: str) -> None:
    with pytest.raises(SchemaError, match=named):
        schemas.load().patched(patch)
