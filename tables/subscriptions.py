"""The table `subscriptions`: all subscriptions of a customer, normalised. Keyed as `customer_mapping`."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from stream.stripe.shapes import Subscription
from tables import versions
from tables.versions import Rank, Telling, Versioned, fold

# The subscription has been taken up: an invoice was to be paid, or is.
TAKEN_UP = frozenset({"active", "past_due", "unpaid"})

NAME = "subscriptions"


class Start(msgspec.Struct, frozen=True, omit_defaults=True):
    """A subscription as it was when it was first taken up: the earliest telling in a status that is paid for."""

    created: int
    rank: Rank
    event_id: str
    body: Subscription


class Subscriptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """By subscription ID. Ended ones stay, as tombstones and for reactivation."""

    by_id: dict[str, Versioned[Subscription]] = {}
    starts: dict[str, Start] = {}


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
    start = subscriptions.starts.get(id_)
    earlier = _earlier(start, created, telling)
    if folded is known and earlier is start:
        return subscriptions
    starts = {**subscriptions.starts, id_: earlier} if earlier else subscriptions.starts
    return Subscriptions({**subscriptions.by_id, id_: folded}, starts)


def _earlier(start: Start | None, created: int, telling: Telling[Subscription]) -> Start | None:
    """The earlier of two starts. The order is one of the tellings alone, so it does not matter which came first."""
    if telling.body.status not in TAKEN_UP or telling.rank == Rank.FETCHED:
        return start
    told = Start(created, telling.rank, telling.event_id, telling.body)
    if start is None or _moment(told) < _moment(start):
        return told
    return start


def _moment(start: Start) -> tuple[int, Rank, str]:
    return start.created, start.rank, start.event_id


def refetched(log: Subscriptions, held: Subscriptions) -> Subscriptions:
    """What a log tells in full, with what Stripe was once asked."""
    by_id = dict(log.by_id)
    for id_, known in held.by_id.items():
        if (one := versions.refetched(log.by_id.get(id_), known)) is not None:
            by_id[id_] = one
    return Subscriptions(by_id, log.starts)


def retold(log: Subscriptions, held: Subscriptions) -> Subscriptions:
    """Each subscription as a log tells it that may lack the beginning, where that is no older than what is held."""
    by_id, starts = dict(held.by_id), dict(held.starts)
    for id_, told in log.by_id.items():
        by_id[id_] = versions.retold(told, held.by_id.get(id_)) or told
    for id_, start in log.starts.items():
        if id_ not in starts or _moment(start) <= _moment(starts[id_]):
            starts[id_] = start
    return Subscriptions(by_id, starts)


def mentions(value: bytes, account: str | None, keys: Collection[str]) -> bool:
    """Whether a stored value names any of an account's catalogue entries; cheaper than decoding every row."""
    prefix = f"{account}/" if account else ""
    ids = (key.removeprefix(prefix) for key in keys if key.startswith(prefix))
    return any(f'"{id_}"'.encode() in value for id_ in ids)
