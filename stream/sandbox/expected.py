"""What Salesforce should hold after a simulated run, worked out from the simulator's final truth.

Nothing here is shared with the projector: it is the second opinion that the demo compares with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stream.sandbox.stripe.identities import Identity
from stream.sandbox.stripe.objects import Address, Customer
from stream.sandbox.stripe.world import World

Record = dict[str, Any]

KEY = "Stripe_Customer_Id__c"


def customers(world: World) -> dict[str, Customer]:
    """Every customer that ever signed up, by routing key."""
    return {key: thing for key, thing in world.things.items() if isinstance(thing, Customer)}


def records(world: World) -> dict[str, dict[str, Record]]:
    """By object and External ID: the fields that the record should have; None is an empty field."""
    known = customers(world)
    return {
        "Account": {key: _account(key, customer) for key, customer in known.items()},
        "Contact": {key: _contact(key, customer) for key, customer in known.items()},
    }


def earlier(world: World) -> dict[str, tuple[Record, Record | None]]:
    """What Salesforce held before: by routing key of the customer whom it stands for, an Account and, where the
    customer is known by e-mail, its Contact."""
    known = customers(world)
    return {who.key: _earlier(who) for who in world.identities if who.known and who.key in known}


def _earlier(who: Identity) -> tuple[Record, Record | None]:
    if who.known == "company":
        website = f"https://www.{who.domain}/about"
        return {"Name": _cut(who.business_name or who.name, 255), "Website": website}, None
    return {"Name": f"{who.company} (from before)"}, {"LastName": who.last, "Email": who.email}


def compare(
    expected: Mapping[str, Record], actual: Iterable[Record], before: Mapping[str, str]
) -> tuple[int, list[str]]:
    """How many records there are, and a line for each that is wrong. `before` are the Salesforce IDs that
    records must have kept, by External ID."""
    held: dict[str, list[Record]] = {}
    count = 0
    for record in actual:
        count += 1
        held.setdefault(str(record.get(KEY)), []).append(record)
    wrong = [f"{key}: not expected" for key in held if key not in expected]
    for key, fields in expected.items():
        match held.get(key, []):
            case []:
                wrong.append(f"{key}: missing")
            case [record]:
                differing = [name for name, value in fields.items() if record.get(name) != value]
                if key in before and record["Id"] != before[key]:
                    differing.append("Id")
                if differing:
                    wrong.append(f"{key}: {', '.join(differing)}")
            case several:
                wrong.append(f"{key}: {len(several)} times")
    return count, wrong


def _account(key: str, it: Customer) -> Record:
    address = it.address or Address()
    return {
        KEY: key,
        "Name": _cut(it.business_name, 255) or _cut(it.name, 255) or _before_at(it) or it.id,
        "Phone": _cut(it.phone, 40),
        "BillingStreet": _street(address),
        "BillingCity": _cut(address.city, 40),
        "BillingState": _cut(address.state, 80),
        "BillingPostalCode": _cut(address.postal_code, 20),
        "BillingCountry": _cut(address.country, 80),
        "Stripe_Billing_Email__c": _cut(it.email, 80),
        "Stripe_Currency__c": it.currency.upper() if it.currency else None,
        "Stripe_Delinquent__c": it.delinquent,
        "Stripe_Deleted__c": it.deleted,
    }


def _contact(key: str, it: Customer) -> Record:
    address = it.address or Address()
    words = (it.name or "").split()
    first = (it.name or "").strip()[: -len(words[-1])].strip() if words else ""
    return {
        KEY: key,
        "FirstName": _cut(first, 40),
        "LastName": _cut(words[-1] if words else None, 80) or _before_at(it) or it.id,
        "Email": _cut(it.email, 80),
        "Phone": _cut(it.phone, 40),
        "MailingStreet": _street(address),
        "MailingCity": _cut(address.city, 40),
        "MailingState": _cut(address.state, 80),
        "MailingPostalCode": _cut(address.postal_code, 20),
        "MailingCountry": _cut(address.country, 80),
        "Stripe_Currency__c": it.currency.upper() if it.currency else None,
        "Stripe_Delinquent__c": it.delinquent,
        "Stripe_Deleted__c": it.deleted,
    }


def _before_at(it: Customer) -> str | None:
    return _cut((it.email or "").split("@")[0], 80)


def _street(address: Address) -> str | None:
    return _cut("\n".join(line for line in (_cut(address.line1, 255), _cut(address.line2, 255)) if line), 255)


def _cut(text: str | None, length: int) -> str | None:
    """As Salesforce stores it: without blanks around, at most so long, nothing instead of blank."""
    return (text or "").strip()[:length].strip() or None
