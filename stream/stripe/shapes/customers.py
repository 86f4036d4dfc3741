"""Customers, with the discount that one may carry."""

from __future__ import annotations

import msgspec

from stream.stripe.shapes.coupons import Discount, _Discount


class Address(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A postal address, as Stripe has it; `country` is two letters by convention, not by force."""

    line1: str | None = None
    line2: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None


class Customer(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """docs.stripe.com/api/customers/object, the same in every API version for the fields kept here."""

    id: str
    name: str | None = None
    business_name: str | None = None
    email: str | None = None
    phone: str | None = None
    address: Address | None = None
    currency: str | None = None
    delinquent: bool | None = None
    deleted: bool = False
    discount: Discount | None = None
    metadata: dict[str, str] = {}


class _Customer(msgspec.Struct, gc=False):
    id: str
    name: str | None = None
    business_name: str | None = None
    email: str | None = None
    phone: str | None = None
    address: Address | None = None
    currency: str | None = None
    delinquent: bool | None = None
    deleted: bool = False
    discount: _Discount | None = None
    metadata: dict[str, str] = {}


_customer = msgspec.json.Decoder(_Customer).decode


def customer(raw: msgspec.Raw | bytes) -> Customer:
    """A customer of any API version."""
    it = _customer(raw)
    return Customer(
        id=it.id,
        name=it.name,
        business_name=it.business_name,
        email=it.email,
        phone=it.phone,
        address=it.address,
        currency=it.currency,
        delinquent=it.delinquent,
        deleted=it.deleted,
        discount=it.discount.shaped() if it.discount else None,
        metadata=it.metadata,
    )
