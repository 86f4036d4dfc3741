"""What to do about a refusal that is about an ID from the settings: Salesforce's own words do not say so. Pure."""

from __future__ import annotations

import msgspec

from stream.records import RowError

# By object and field, the setting that the field's value comes from.
_FROM = {
    ("CampaignMember", "CampaignId"): "CHURN_CAMPAIGN",
    ("Opportunity", "RecordTypeId"): "OPPORTUNITIES_RECORD_TYPE",
    ("Opportunity", "Pricebook2Id"): "OPPORTUNITIES_PRICEBOOK",
}
# An ID of nothing that our user can see, and what is no ID at all.
_CODES = {"INVALID_CROSS_REFERENCE_KEY", "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "MALFORMED_ID"}


def advised(object_: str, error: RowError) -> RowError:
    """The error, with the setting that is to be corrected if one is meant. The write holds the wrong ID, so that
    sending it again would not help."""
    setting = next((_FROM[object_, field] for field in error.fields if (object_, field) in _FROM), None)
    if setting is None or error.code not in _CODES:
        return error
    said = (
        f"{error.message.rstrip('.')}. {setting} names nothing that our user can see in this org: correct it, "
        "restart the projector, and replay the customer."
    )
    return msgspec.structs.replace(error, message=said)
