"""The reference work, which is the same for every framework that is compared. Pure; needs only msgspec.

Parse the event, keep the customer's latest subscription, emit one record. What is kept and what is emitted are
the same bytes, so that the end state can be compared from the outside.
"""

from __future__ import annotations

import msgspec


class Subscription(msgspec.Struct, frozen=True, gc=False):
    """Of the 2.7 KB what is needed; all the rest is skipped by the parser."""

    id: str
    customer: str
    status: str


class _Data(msgspec.Struct, frozen=True, gc=False):
    object: Subscription


class Event(msgspec.Struct, frozen=True, gc=False):
    """A `customer.subscription.*` event. `created` is epoch seconds."""

    id: str
    created: int
    data: _Data


class Latest(msgspec.Struct, frozen=True, gc=False):
    """What is kept of a customer."""

    subscription: str
    status: str
    created: int
    event: str


_event = msgspec.json.Decoder(Event).decode
_latest = msgspec.json.Decoder(Latest).decode
_encode = msgspec.json.Encoder().encode


def latest(known: bytes | None, body: bytes) -> bytes:
    """What is to be kept of a customer, after one more event; of the same second the later read one wins."""
    event = _event(body)
    if known is not None and _latest(known).created > event.created:
        return known
    subscription = event.data.object
    return _encode(Latest(subscription.id, subscription.status, event.created, event.id))
