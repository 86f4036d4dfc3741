"""Whether the org has what the mapping names."""

from __future__ import annotations

from stream.salesforce.org import examine, needed
from stream.salesforce.port import Description, Field
from stream.settings import CUSTOMER_ID_FIELD as ID
from stream.settings import Settings

KEY = Field(ID, external_id=True, unique=True, case_sensitive=True)


def test_the_mapping_and_the_external_id_are_needed() -> None:
    asked = needed(Settings(mapping={"Account": {"Name": "account_name"}}))
    assert asked == {"Account": (ID, "Name")}


def test_all_there() -> None:
    finding = examine("Account", Description("Account", (KEY, Field("Name"))), (ID, "name"))
    assert (finding.faults, finding.warnings) == ((), ())


def test_each_fault_names_its_field() -> None:
    fields = (KEY, Field("Name", updateable=False), Field("Phone", createable=False))
    finding = examine("Account", Description("Account", fields), (ID, "Name", "Phone", "Vat__c"))
    assert [fault.split(":")[0] for fault in finding.faults] == [
        "Our user may not write the field Account.Name",
        "Our user may not write the field Account.Phone",
        "The field Account.Vat__c does not exist, or our user may not see it",
    ]


def test_the_external_id_must_be_one_and_should_be_unique() -> None:
    finding = examine("Account", Description("Account", (Field(ID),)), (ID,))
    assert "is no External ID" in finding.faults[0]
    assert "unique and case-sensitive" in finding.warnings[0]


def test_an_object_that_is_not_there_or_not_ours_to_write() -> None:
    assert "does not exist" in examine("Deal__c", None, (ID,)).faults[0]
    readonly = Description("Account", (KEY,), updateable=False)
    assert "may not create and edit Account" in examine("Account", readonly, (ID,)).faults[0]
