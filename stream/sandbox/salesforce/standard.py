"""What standard objects do by themselves when they are saved (Object Reference, one entry per object).

Each rule completes a draft in place, or refuses it with RowError. `after` tells which parent is to be summed
up anew once a record is written.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from stream.sandbox.salesforce import identifiers
from stream.sandbox.salesforce.errors import RowError
from stream.sandbox.salesforce.schema import Schema
from stream.sandbox.salesforce.store import Row, Store

# Probability in percent of each stage, of an org as delivered.
STAGES = {
    "Prospecting": 10,
    "Qualification": 10,
    "Needs Analysis": 20,
    "Value Proposition": 50,
    "Id. Decision Makers": 60,
    "Perception Analysis": 70,
    "Proposal/Price Quote": 75,
    "Negotiation/Review": 90,
    "Closed Won": 100,
    "Closed Lost": 0,
}


class Draft(msgspec.Struct):
    """A record about to be written: its new row, the one it replaces (empty when it is new), and the names of
    the fields that the client set."""

    row: Row
    old: Row
    given: set[str]
    store: Store
    schema: Schema

    def linked(self, field: str) -> Row:
        """The record that a reference field names; empty when there is none."""
        identifier = self.row.get(field)
        entity = self.schema.of_id(identifier) if isinstance(identifier, str) else None
        return (self.store.get(entity.name, str(identifier)) if entity else None) or {}

    def text(self, field: str) -> str:
        """The text in a field; empty when there is none."""
        value = self.row.get(field)
        return value if isinstance(value, str) else ""

    def number(self, field: str) -> float:
        """The number in a field; 0 when there is none."""
        value = self.row.get(field)
        return float(value) if isinstance(value, (int, float)) else 0.0


def _person(draft: Draft) -> None:
    draft.row["Name"] = f"{draft.text('FirstName')} {draft.text('LastName')}".strip()


def _opportunity(draft: Draft) -> None:
    row, stage = draft.row, draft.text("StageName")
    row["IsWon"] = stage == "Closed Won"
    row["IsClosed"] = stage in ("Closed Won", "Closed Lost")
    if "Probability" not in draft.given and stage != draft.old.get("StageName") and stage in STAGES:
        row["Probability"] = STAGES[stage]
    if row.get("HasOpportunityLineItem") and "Amount" in draft.given:
        row["Amount"] = draft.old.get("Amount")  # the sum of the products stands; told to nobody


def _task(draft: Draft) -> None:
    row = draft.row
    row["IsClosed"] = row.get("Status") == "Completed"
    row["IsHighPriority"] = row.get("Priority") == "High"
    what = draft.text("WhatId")
    account = what if what.startswith(draft.schema.entities["Account"].prefix) else None
    row["AccountId"] = (
        account or draft.linked("WhatId").get("AccountId") or draft.linked("WhoId").get("AccountId")
    )


def _case(draft: Draft) -> None:
    row = draft.row
    row["IsClosed"] = row.get("Status") == "Closed"
    row.setdefault("CaseNumber", f"{1000 + identifiers.number_of(draft.text('Id')):08d}")
    if not draft.old and "AccountId" not in draft.given:
        row["AccountId"] = draft.linked("ContactId").get("AccountId")


def _campaign_member(draft: Draft) -> None:
    draft.row["Name"] = draft.linked("ContactId").get("Name")
    draft.row["HasResponded"] = draft.row.get("Status") == "Responded"


def _price(draft: Draft) -> None:
    product = draft.linked("Product2Id")
    draft.row["Name"], draft.row["ProductCode"] = product.get("Name"), product.get("ProductCode")
    if draft.linked("Pricebook2Id").get("IsStandard"):
        return
    prices = draft.store.find("PricebookEntry", "Product2Id", draft.row.get("Product2Id"))
    books = ((draft.store.get("PricebookEntry", price) or {}).get("Pricebook2Id") for price in prices)
    if not any((draft.store.get("Pricebook2", str(book)) or {}).get("IsStandard") for book in books):
        raise RowError(
            "STANDARD_PRICE_NOT_DEFINED",
            "Before creating a custom price, create a standard price.",
            "Pricebook2Id",
        )


def _line(draft: Draft) -> None:
    row, entry, opportunity = draft.row, draft.linked("PricebookEntryId"), draft.linked("OpportunityId")
    book = opportunity.get("Pricebook2Id")
    if book is not None and book != entry.get("Pricebook2Id"):
        raise RowError(
            "FIELD_INTEGRITY_EXCEPTION",
            "The pricebook entry is in a different pricebook than the one assigned to the opportunity",
            "PricebookEntryId",
        )
    if draft.given >= {"UnitPrice", "TotalPrice"}:
        raise RowError(
            "FIELD_INTEGRITY_EXCEPTION", "UnitPrice and TotalPrice cannot both be set", "TotalPrice"
        )
    quantity = draft.number("Quantity")
    if "TotalPrice" in draft.given and quantity:
        row["UnitPrice"] = round(draft.number("TotalPrice") / quantity, 2)
    elif row.get("UnitPrice") is None:
        row["UnitPrice"] = entry.get("UnitPrice")
    if "TotalPrice" not in draft.given:
        row["TotalPrice"] = round(quantity * draft.number("UnitPrice"), 2)
    row["Product2Id"] = entry.get("Product2Id")
    row["Name"] = f"{opportunity.get('Name')} {entry.get('Name')}"


def _owner(draft: Draft) -> None:
    owner = draft.linked("OwnerId")
    if "OwnerId" in draft.given and owner and not owner.get("IsActive"):
        raise RowError(
            "INACTIVE_OWNER_OR_USER",
            f"operation performed with inactive user [{draft.row['OwnerId']}] as owner",
            "OwnerId",
        )


_RULES: dict[str, Callable[[Draft], None]] = {
    "User": _person,
    "Contact": _person,
    "Opportunity": _opportunity,
    "Task": _task,
    "Case": _case,
    "CampaignMember": _campaign_member,
    "PricebookEntry": _price,
    "OpportunityLineItem": _line,
}


def complete(entity: str, draft: Draft) -> None:
    """Fills what the object derives by itself. Raises RowError."""
    _owner(draft)
    if rule := _RULES.get(entity):
        rule(draft)


def summed_up(entity: str, row: Row, store: Store) -> tuple[str, str, Row] | None:
    """The parent whose sums follow from its children: object, ID and what is to be set; None for most."""
    if entity != "OpportunityLineItem":
        return None
    opportunity = str(row["OpportunityId"])
    lines = [store.get(entity, line) or {} for line in store.find(entity, "OpportunityId", opportunity)]
    if store.get("Opportunity", opportunity) is None:
        return None
    if not lines:
        return "Opportunity", opportunity, {"HasOpportunityLineItem": False}
    entry = store.get("PricebookEntry", str(lines[0].get("PricebookEntryId"))) or {}
    total = sum(price for line in lines if isinstance(price := line.get("TotalPrice"), (int, float)))
    told: Row = {"HasOpportunityLineItem": True, "Amount": round(float(total), 2)}
    return "Opportunity", opportunity, told | {"Pricebook2Id": entry.get("Pricebook2Id")}
