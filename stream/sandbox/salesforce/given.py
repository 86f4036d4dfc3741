"""From a record as a client sends it to the fields that it sets, with its parents looked up.

A parent may be named by an External ID instead of its ID: `"Account": {"Stripe_Customer_Id__c": "cus_1"}`, and
with `attributes.type` where it may be of many objects ("Relationship Fields in Records").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from stream.sandbox.salesforce import values
from stream.sandbox.salesforce.errors import RowError
from stream.sandbox.salesforce.schema import Entity, Field, Schema
from stream.sandbox.salesforce.store import Row, Store


class Reading(msgspec.Struct, frozen=True):
    """Where records are looked up, and whether they come from JSON or CSV."""

    store: Store
    schema: Schema
    source: values.Source


def read(given: Mapping[str, Any], entity: Entity, reading: Reading, *, creating: bool) -> Row:
    """The values to set, by field; None clears. Raises RowError for the first thing that is wrong."""
    told: Row = {}
    refused: list[str] = []
    for name, raw in given.items():
        if name.casefold() in ("attributes", "id"):
            continue
        field = entity.field(name)
        if field is None:
            field = entity.parent(name)
            if field is None or not (raw is None or isinstance(raw, dict)):
                raise RowError("INVALID_FIELD", f"No such column '{name}' on sobject of type {entity.name}")
            raw = None if raw is None else _parent(field, raw, reading)
        if field.writable == "never" or (field.writable == "create" and not creating):
            refused.append(field.name)
        else:
            told[field.name] = values.read(field, raw, reading.schema, reading.source)
    if refused:
        names = ", ".join(sorted(refused))
        raise RowError(
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            f"Unable to create/update fields: {names}. Please check the security settings of this field "
            "and verify that it is read/write for your profile or permission set.",
            *sorted(refused),
        )
    return told


def one_of(key: Field, found: Sequence[str]) -> str:
    """The one record that holds an External ID. Raises RowError when there are several."""
    if len(found) > 1:
        raise RowError(
            "DUPLICATE_EXTERNAL_ID",
            f"{key.name}: more than one record found for external id field: [{', '.join(found)}]",
            key.name,
        )
    return found[0]


def _parent(field: Field, told: Mapping[str, Any], reading: Reading) -> str:
    """The ID of a parent that is named by one of its External IDs."""
    attributes = told.get("attributes")
    kind = attributes.get("type") if isinstance(attributes, dict) else None
    if kind is None and len(field.to) > 1:
        raise RowError(
            "INVALID_FIELD",
            f"Must specify type attribute for polymorphic foreign key {field.relationship}",
            field.name,
        )
    target = reading.schema.entity(str(kind or field.to[0]))
    if target is None or target.name not in field.to:
        raise RowError("INVALID_FIELD", f"{kind} is no parent of {field.relationship}", field.name)
    names = [name for name in told if name != "attributes"]
    key = target.field(names[0]) if len(names) == 1 else None
    if key is None or not (key.external_id or key.id_lookup):
        raise RowError(
            "INVALID_FIELD",
            f"{', '.join(names) or 'Nothing'} is not an External ID or indexed field for {target.name}",
            field.name,
        )
    value = values.read(key, told[names[0]], reading.schema, reading.source)
    found = tuple(reading.store.find(target.name, key.name, value)) if value is not None else ()
    if not found:
        raise RowError(
            "INVALID_FIELD",
            f"Foreign key external ID: {told[names[0]]} not found for field {key.name} "
            f"in entity {target.name}",
        )
    return one_of(key, found)
