"""The table `subscriptions`: all subscriptions of a customer, normalised. Keyed as `customer_mapping`."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from stream.stripe.shapes import Subscription
from tables.versions import Telling, Versioned, fold

NAME = "subscriptions"


class Subscriptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """By subscription ID. Ended ones stay, as tombstones and for reactivation."""

    by_id: dict[str, Versioned[Subscription]] = {}


encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Subscriptions).decode


def decode(value: bytes | None) -> Subscriptions:
    """The stored value, or an empty one where nothing is stored. Raises msgspec.DecodeError."""
    return Subscriptions() if value is None else _decode(value)


def told(subscriptions: Subscriptions, created: int, telling: Telling[Subscription]) -> Subscriptions:
    """After one more subscription event; the same object when it tells nothing new."""
    id_ = telling.body.id
    known = subscriptions.by_id.get(id_)
    folded = fold(known, created, telling)
    return subscriptions if folded is known else Subscriptions({**subscriptions.by_id, id_: folded})


def mentions(value: bytes, account: str | None, keys: Collection[str]) -> bool:
    """Whether a stored value names any of an account's catalogue entries; cheaper than decoding every row."""
    prefix = f"{account}/" if account else ""
    ids = (key.removeprefix(prefix) for key in keys if key.startswith(prefix))
    return any(f'"{id_}"'.encode() in value for id_ in ids)
