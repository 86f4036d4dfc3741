"""Notices for tests."""

from __future__ import annotations

import time
from typing import Any

from stream.notify.port import Item, Parcel
from stream.records import EventRef, Notice, Scalar
from stream.settings import ChannelName


def notice(
    id_: str = "in_1:failed", workflow: str = "payment_failed", created: int | None = None, **more: Any
) -> Notice:
    """A notice; one of now unless `created` says another time."""
    facts: dict[str, Scalar] = more.pop("facts", {"customer": "Acme"})
    at = int(time.time()) if created is None else created
    ref = EventRef(f"evt_{id_}", "invoice.payment_failed", at, at * 1000)
    return Notice(id_, workflow, more.pop("account", "cus_1"), ref, facts, **more)


def parcel(channel: ChannelName, *notices: Notice, address: tuple[str, ...] = ()) -> Parcel:
    """A parcel of these notices, of partition 0."""
    items = tuple(Item(each, 0, offset) for offset, each in enumerate(notices or (notice(),)))
    return Parcel(channel, address, items)
