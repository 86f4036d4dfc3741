"""What the mapping in `revstream.toml` can name: the fields of a Stripe customer, ready for Salesforce.

Lengths are those of Salesforce's standard fields (Object Reference: Account, Contact), so that a long value is
cut rather than refused with STRING_TOO_LONG.
"""

from __future__ import annotations

from collections.abc import Callable

from stream.records import Scalar
from stream.stripe.shapes import Address, Customer

METADATA = "metadata."


def _text(value: str | None, length: int) -> str | None:
    """Trimmed and cut; blank is nothing. NUL is the one character that Salesforce's XML core cannot store."""
    return (value or "").replace("\0", "").strip()[:length].strip() or None


def _local_part(customer: Customer) -> str | None:
    return _text((customer.email or "").partition("@")[0], 80)


def account_name(customer: Customer) -> str:
    """Account.Name is required: the business, else the name, else the e-mail's local part, else the ID."""
    return (
        _text(customer.business_name, 255)
        or _text(customer.name, 255)
        or _local_part(customer)
        or customer.id
    )


def _names(customer: Customer) -> tuple[str | None, str]:
    """First and last name: split at the last space. Contact.LastName is required."""
    first, _, last = (_text(customer.name, 10_000) or "").rpartition(" ")
    return _text(first, 40), _text(last, 80) or _local_part(customer) or customer.id


def _address(customer: Customer) -> Address:
    return customer.address or Address()


def _street(customer: Customer) -> str | None:
    lines = (_text(line, 255) for line in (_address(customer).line1, _address(customer).line2))
    return _text("\n".join(line for line in lines if line), 255)


SOURCES: dict[str, Callable[[Customer], Scalar]] = {
    "id": lambda c: c.id,
    "account_name": account_name,
    "name": lambda c: _text(c.name, 255),
    "business_name": lambda c: _text(c.business_name, 255),
    "first_name": lambda c: _names(c)[0],
    "last_name": lambda c: _names(c)[1],
    "email": lambda c: _text(c.email, 80),
    "phone": lambda c: _text(c.phone, 40),
    "street": _street,
    "city": lambda c: _text(_address(c).city, 40),
    "state": lambda c: _text(_address(c).state, 80),
    "postal_code": lambda c: _text(_address(c).postal_code, 20),
    "country": lambda c: _text(_address(c).country, 80),
    "currency": lambda c: _text((c.currency or "").upper(), 3),
    "delinquent": lambda c: bool(c.delinquent),
    "deleted": lambda c: c.deleted,
}


def value(customer: Customer, source: str) -> Scalar:
    """One field of a customer, by the name that a mapping gives it."""
    if source.startswith(METADATA):
        return _text(customer.metadata.get(source.removeprefix(METADATA)), 255)
    return SOURCES[source](customer)
