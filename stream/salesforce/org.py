"""Whether the org has what the mapping names. Pure, except for asking.

What is missing stops that object's lane, with the name of the field and how to make it; not the rows.
"""

from __future__ import annotations

import msgspec

from stream.salesforce.port import Description, Field, Salesforce
from stream.settings import CUSTOMER_ID_FIELD, STRIPE_ID_FIELD, Settings


class Finding(msgspec.Struct, frozen=True):
    """What a check gave: faults stop the lane, warnings do not. Each is a sentence for an administrator."""

    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def needed(settings: Settings) -> dict[str, tuple[str, ...]]:
    """By object, the fields that will be written: the mapped ones and the external ID."""
    return {name: (external_id(name), *fields) for name, fields in settings.mapping.items()}


def external_id(object_: str) -> str:
    """The External ID field of an object: people and companies are known by the customer's ID."""
    return CUSTOMER_ID_FIELD if object_ in ("Account", "Contact") else STRIPE_ID_FIELD


async def check(port: Salesforce, object_: str, fields: tuple[str, ...]) -> Finding:
    """Asks the org. Raises RequestError when it cannot be asked."""
    return examine(object_, await port.describe(object_), fields)


def examine(object_: str, description: Description | None, fields: tuple[str, ...]) -> Finding:
    """What is missing of an object for these fields, the first of which is the external ID."""
    if description is None:
        return Finding((f"The object {object_} does not exist, or our user may not see it.",))
    faults = []
    if not (description.createable and description.updateable):
        faults.append(f"Our user may not create and edit {object_}: give the permission set access to it.")
    present = {field.name.lower(): field for field in description.fields}
    for name in fields:
        field = present.get(name.lower())
        if field is None:
            faults.append(
                f"The field {object_}.{name} does not exist, or our user may not see it: create it, or give "
                "the permission set access to it."
            )
        elif not (field.createable and field.updateable):
            faults.append(f"Our user may not write the field {object_}.{name}: give edit access to it.")
    external = present.get(fields[0].lower())
    warnings = _external_id(object_, external, faults) if external else ()
    return Finding(tuple(faults), warnings)


def _external_id(object_: str, field: Field, faults: list[str]) -> tuple[str, ...]:
    name = f"{object_}.{field.name}"
    if not field.external_id:
        faults.append(f"The field {name} is no External ID: set that flag on it.")
    if field.unique and field.case_sensitive:
        return ()
    return (f"The field {name} should be unique and case-sensitive, since cus_A is not cus_a.",)
