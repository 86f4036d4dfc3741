"""A refusal that is about an ID from the settings names the setting; no other is touched."""

from __future__ import annotations

import pytest

from stream.records import RowError
from stream.salesforce.advice import advised


@pytest.mark.parametrize(
    ("object_", "field", "setting"),
    [
        ("CampaignMember", "CampaignId", "CHURN_CAMPAIGN"),
        ("Opportunity", "RecordTypeId", "OPPORTUNITIES_RECORD_TYPE"),
        ("Opportunity", "Pricebook2Id", "OPPORTUNITIES_PRICEBOOK"),
    ],
)
def test_the_setting_is_named(object_: str, field: str, setting: str) -> None:
    told = advised(object_, RowError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", (field,)))
    assert told.message.startswith(f"invalid cross reference id. {setting} names nothing ")
    assert (told.code, told.fields) == ("INVALID_CROSS_REFERENCE_KEY", (field,))


@pytest.mark.parametrize(
    ("object_", "error"),
    [
        ("CampaignMember", RowError("INVALID_CROSS_REFERENCE_KEY", "x", ("ContactId",))),
        ("CampaignMember", RowError("REQUIRED_FIELD_MISSING", "x", ("CampaignId",))),
        ("Account", RowError("MALFORMED_ID", "x", ("RecordTypeId",))),
        ("CampaignMember", RowError("MALFORMED_ID", "x")),
    ],
)
def test_other_refusals_are_left_as_they_are(object_: str, error: RowError) -> None:
    assert advised(object_, error) is error
