"""The table `customer_mapping`: a Stripe customer, and the Salesforce records that stand for it.

Keyed by the customer's routing key (`cus_…`, or `acct_…/cus_…` of a connected account). A value is JSON, so that
the changelog can be read with any Kafka tool.
"""

from __future__ import annotations

import msgspec

from stream.records import Result
from stream.stripe.shapes import Customer
from tables import ledger, versions
from tables.payments import Payments
from tables.versions import Telling, Versioned, fold

NAME = "customer_mapping"


class Link(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record in Salesforce, as Salesforce last confirmed it.

    `version` is that of the confirmed write; `matched_by` says how the record was found when it was there
    before us (`email`, `company`).
    """

    id: str
    version: int
    matched_by: str | None = None


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """An event that waits for its customer to be known: the signed body and the record's headers, untouched."""

    event_id: str
    body: bytes
    headers: dict[str, bytes]
    offset: int


class CustomerMapping(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is remembered of one customer. `customer` is None while only other objects told of it."""

    customer: Versioned[Customer] | None = None
    account: Link | None = None
    contact: Link | None = None
    waiting: tuple[Waiting, ...] = ()
    payments: Payments = Payments()


encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(CustomerMapping).decode


def decode(value: bytes | None) -> CustomerMapping:
    """The stored value, or an empty one where nothing is stored. Raises msgspec.DecodeError."""
    return CustomerMapping() if value is None else _decode(value)


def told(mapping: CustomerMapping, created: int, telling: Telling[Customer]) -> CustomerMapping:
    """After one more customer event; the same object when it tells nothing new."""
    customer = fold(mapping.customer, created, telling)
    return mapping if customer is mapping.customer else msgspec.structs.replace(mapping, customer=customer)


def refetched(log: CustomerMapping, held: CustomerMapping) -> CustomerMapping:
    """A customer of whom a log tells everything, with what no log tells: Salesforce's records and what Stripe was
    once asked."""
    customer = versions.refetched(log.customer, held.customer)
    return msgspec.structs.replace(held, customer=customer, payments=log.payments)


def retold(log: CustomerMapping, held: CustomerMapping) -> CustomerMapping:
    """What is held of a customer, with what a log, which may lack the beginning, tells no older of."""
    customer = versions.retold(log.customer, held.customer)
    told = ledger.retold(log.payments, held.payments)
    return msgspec.structs.replace(held, customer=customer, payments=told)


def confirmed(mapping: CustomerMapping, result: Result) -> CustomerMapping:
    """After Salesforce's answer to a write; the same object when it teaches nothing new."""
    field = {"Account": "account", "Contact": "contact"}.get(result.object)
    if field is None or result.salesforce_id is None:
        return mapping
    known: Link | None = getattr(mapping, field)
    if known and (known.id, known.version) == (result.salesforce_id, result.version):
        return mapping
    if known and known.version > result.version:
        return mapping
    matched_by = result.matched_by or (known.matched_by if known else None)
    link = Link(result.salesforce_id, result.version, matched_by)
    return msgspec.structs.replace(mapping, **{field: link})
