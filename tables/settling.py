"""What is old and final leaves a customer's row: a settled sum and an open window.

A customer may have 100,000 invoices. So each kind of object has a window: its `KEPT` newest ones, of those younger
than `DAYS` before the customer's newest event as many as make `MOST`, and all that are still open. Any other
leaves: its amount goes into the settled sum, and a watermark remembers up to which creation time objects have
left. An object at or below the watermark that is not in the window has been counted, and what is told of it later
changes nothing: so a replay of the whole history counts nothing twice.

What is guaranteed: the sums are exact for any order and any duplicates as long as no event comes later than `DAYS`
after a younger one of the same customer (Stripe retries for 3 days, and resends by hand for 30), nor after more
than `MOST` younger objects of its kind; and, for a customer who has no more than `KEPT` objects of a kind, without
any condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from tables.lifetime import NOTHING, refunds_by_charge, worth
from tables.payments import COUNTED, Bill, Contested, GivenBack, Payment, Payments, Told, Window, final

KEPT = 100
DAYS = 45
# An invoice takes some 500 bytes of the row, a charge 200; the row is one Kafka record of at most 2 MiB.
MOST = 1000

_DAY = 86_400

T = TypeVar("T")


def settle(payments: Payments) -> Payments:
    """Has what is old and final leave. What hangs on a charge stays as long as the charge does."""
    for kind in (*COUNTED, "warnings"):
        if gone := _leaving(payments, kind):
            payments = _without_them(payments, kind, gone)
    return payments


def _leaving(payments: Payments, kind: str) -> dict[str, Told[Any]]:
    """Beyond `MOST` whatever is final, beyond `KEPT` what is old as well."""
    by_id: dict[str, Told[Any]] = getattr(payments, kind).by_id
    beyond, over = len(by_id) - KEPT, len(by_id) - MOST
    if beyond <= 0:
        return {}
    cutoff = payments.newest - DAYS * _DAY
    if over <= 0 and not any(held.body.created <= cutoff for held in by_id.values()):
        return {}
    by_age = sorted(by_id.items(), key=_age)
    # One of the same second may still come, so those leave together.
    crowded = by_age[over][1].body.created if over > 0 else 0
    gone = {}
    for id_, held in by_age[:beyond]:
        old = held.at <= cutoff and held.body.created <= cutoff
        if (old or held.body.created < crowded) and _final(payments, held.body, old=old):
            gone[id_] = held
    return gone


def _age(one: tuple[str, Told[Any]]) -> tuple[int, str]:
    return one[1].body.created, one[0]


def _without_them(payments: Payments, kind: str, gone: Mapping[str, Told[Any]]) -> Payments:
    window: Window[Any] = getattr(payments, kind)
    settled = dict(payments.settled)
    refunded = refunds_by_charge(payments)
    for id_, held in gone.items():
        if amount := worth(held.body, refunded.get(id_, NOTHING)):
            settled[held.body.currency] = settled.get(held.body.currency, 0) + amount
    troubles = payments.troubles
    if kind == "invoices" and not gone.keys().isdisjoint(troubles):
        troubles = _without(troubles, gone)
    before = max(window.before, *(held.body.created for held in gone.values()))
    left = Window(_without(window.by_id, gone), before)
    return msgspec.structs.replace(payments, settled=settled, troubles=troubles, **{kind: left})


def _without(held: Mapping[str, T], gone: Iterable[str]) -> dict[str, T]:
    leaving = set(gone)
    return {id_: one for id_, one in held.items() if id_ not in leaving}


def _final(payments: Payments, body: Any, *, old: bool) -> bool:
    match body:
        case Bill():
            return final(body)
        case Payment():
            # What is authorised can be captured for some days; an old one has expired.
            return body.status == "failed" or body.taken > 0 or (old and body.status != "pending")
        case GivenBack():
            ended = body.status in ("succeeded", "failed", "canceled")
            return ended and body.charge not in payments.charges.by_id
        case Contested():
            closed = body.status in ("won", "lost", "warning_closed", "prevented")
            return closed and body.charge not in payments.charges.by_id
    return True
