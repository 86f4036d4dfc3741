"""Writes as the projector makes them, for tests."""

from __future__ import annotations

from typing import Any

from stream.records import EventRef, Match, Reference, Scalar, Write
from stream.settings import CUSTOMER_ID_FIELD


def account(customer: str, version: int = 1, *, match: Match | None = None, **fields: Scalar) -> Write:
    """An Account of a customer; `Name` is its ID unless told otherwise."""
    return _write("Account", customer, version, {"Name": customer, **fields}, {}, match)


def contact(customer: str, version: int = 1, *, match: Match | None = None, **fields: Scalar) -> Write:
    """A Contact under the customer's Account."""
    parents = {"Account": Reference("Account", CUSTOMER_ID_FIELD, customer)}
    return _write("Contact", customer, version, {"LastName": customer, **fields}, parents, match)


def _write(
    object_: str, customer: str, version: int, fields: Any, parents: Any, match: Match | None
) -> Write:
    event = EventRef(f"evt_{object_}_{customer}_{version}", "customer.updated", version, 1_700_000_000_000)
    return Write(object_, CUSTOMER_ID_FIELD, customer, customer, version, fields, (event,), parents, match)
