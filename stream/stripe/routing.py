"""How an event stands in the log: the key that brings all events of a customer to one partition, in order of
arrival, and the headers."""

from __future__ import annotations

from typing import Any

from stream.stripe.envelope import LONGEST, Envelope

Headers = list[tuple[str, bytes]]


def key(event: Envelope) -> str:
    """The routing key: `cus_…`, or `acct_…/cus_…` for a connected account, whose IDs are its own.

    The first of these that the event has:

    - a customer's own ID, when the event is about a customer;
    - the object's `customer`, as an ID or as an expanded object;
    - the customer it had until now (`payment_method.detached` has null, and the old one in
      `previous_attributes`);
    - `customer_account`, which stands in for the customer under Accounts v2, now or until now;
    - the object's own ID: catalogue objects, payouts, and what reaches its customer only through a charge or
      an invoice (disputes, reviews, invoice payments);
    - the event's ID: balances and upcoming invoices have none themselves.
    """
    about = event.data.object
    before = event.data.previous_attributes
    owner = (
        (about.object == "customer" and _id(about.id))
        or _id(about.customer)
        or (before is not None and _id(before.customer))
        or _id(about.customer_account)
        or (before is not None and _id(before.customer_account))
        or _id(about.id)
    )
    if not owner:
        return event.id
    return f"{event.account}/{owner}" if event.account else owner


def headers(event: Envelope, received_at: int) -> Headers:
    """What a consumer may want to know without reading the event. `received_at` is epoch milliseconds."""
    told = [
        ("id", event.id.encode()),
        ("type", event.type.encode()),
        ("created", b"%d" % event.created),
        ("livemode", b"true" if event.livemode else b"false"),
        ("received_at", b"%d" % received_at),
    ]
    if event.api_version is not None:
        told.append(("api_version", event.api_version.encode()))
    if event.account is not None:
        told.append(("account", event.account.encode()))
    return told


def _id(value: Any) -> str | None:
    """The ID that a reference holds, expanded or not; None for null and for what can be no ID."""
    if type(value) is dict:
        value = value.get("id")
    return value if type(value) is str and 0 < len(value) <= LONGEST else None
