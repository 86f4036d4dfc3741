"""What an Account and a Contact say of a customer, by the simulator's truth."""

from __future__ import annotations

from typing import Any

from stream.sandbox.stripe.identities import Identity
from stream.sandbox.stripe.objects import Address, Customer

Record = dict[str, Any]

KEY = "Stripe_Customer_Id__c"


def account(key: str, it: Customer) -> Record:
    address = it.address or Address()
    return {
        KEY: key,
        "Name": cut(it.business_name, 255) or cut(it.name, 255) or _before_at(it) or it.id,
        "Phone": cut(it.phone, 40),
        "BillingStreet": _street(address),
        "BillingCity": cut(address.city, 40),
        "BillingState": cut(address.state, 80),
        "BillingPostalCode": cut(address.postal_code, 20),
        "BillingCountry": cut(address.country, 80),
        "Stripe_Billing_Email__c": cut(it.email, 80),
        "Stripe_Currency__c": it.currency.upper() if it.currency else None,
        "Stripe_Delinquent__c": it.delinquent,
        "Stripe_Deleted__c": it.deleted,
    }


def contact(key: str, it: Customer) -> Record:
    address = it.address or Address()
    words = (it.name or "").split()
    first = (it.name or "").strip()[: -len(words[-1])].strip() if words else ""
    return {
        KEY: key,
        "FirstName": cut(first, 40),
        "LastName": cut(words[-1] if words else None, 80) or _before_at(it) or it.id,
        "Email": cut(it.email, 80),
        "Phone": cut(it.phone, 40),
        "MailingStreet": _street(address),
        "MailingCity": cut(address.city, 40),
        "MailingState": cut(address.state, 80),
        "MailingPostalCode": cut(address.postal_code, 20),
        "MailingCountry": cut(address.country, 80),
        "Stripe_Currency__c": it.currency.upper() if it.currency else None,
        "Stripe_Delinquent__c": it.delinquent,
        "Stripe_Deleted__c": it.deleted,
    }


def known_before(who: Identity) -> tuple[Record, Record | None]:
    """What Salesforce held of them before: an Account and, where they are known by e-mail, its Contact."""
    if who.known in ("company", "ambiguous-company"):
        website = f"https://www.{who.domain}/about"
        return {"Name": cut(who.business_name or who.name, 255), "Website": website}, None
    return {"Name": f"{who.company} (from before)"}, {"LastName": who.last, "Email": who.email}


def _before_at(it: Customer) -> str | None:
    return cut((it.email or "").split("@")[0], 80)


def _street(address: Address) -> str | None:
    return cut("\n".join(line for line in (cut(address.line1, 255), cut(address.line2, 255)) if line), 255)


def cut(text: str | None, length: int) -> str | None:
    """As Salesforce stores it: without blanks around, at most so long, nothing instead of blank."""
    return (text or "").strip()[:length].strip() or None
