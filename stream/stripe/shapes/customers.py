"""Customers, and the discount that one may carry."""

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
    metadata: dict[str, str] = {}


class _Discounted(msgspec.Struct):
    discount: _Discount | None = None


_customer = msgspec.json.Decoder(Customer).decode
_discounted = msgspec.json.Decoder(_Discounted).decode


def customer(raw: msgspec.Raw | bytes) -> Customer:
    """A customer of any API version."""
    return _customer(raw)


def customer_discount(raw: msgspec.Raw | bytes) -> Discount | None:
    """The discount that a customer object carries. Apart from `customer`, which most events need alone."""
    found = _discounted(raw).discount
    return found.shaped() if found else None
