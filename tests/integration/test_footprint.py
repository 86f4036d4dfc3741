"""Which records a replay is said to write again, from what `salesforce.writes` holds."""

from __future__ import annotations

from typing import Any

import msgspec

from stream.kafka import footprint
from stream.kafka.batches import Record
from stream.records import EventRef, Owner, Write, encode
from stream.salesforce.estimate import Load
from stream.settings import DEFAULT_MAPPING, Settings
from stream.topics import SALESFORCE_WRITES
from tests.fakes.writes import account, contact
from tests.integration.test_projector import send


def of(write: Write, event: str, received_at: int, **changes: Any) -> Record:
    ref = EventRef(event, "customer.updated", 1, received_at)
    told = msgspec.structs.replace(write, events=(ref,), **changes)
    return Record(SALESFORCE_WRITES, 1, told.key.encode(), encode(told))


async def test_the_records_of_these_customers_each_once(topics: str) -> None:
    settings = Settings(kafka={"brokers": [topics]})  # type: ignore[arg-type]
    await send(
        topics,
        of(account("cus_1"), "evt_1", 100),
        of(contact("cus_1"), "evt_1", 100, owner=Owner("Account:cus_1")),
        of(account("cus_1"), "evt_2", 200),
        of(account("cus_2"), "evt_3", 300),
        of(account("cus_9"), "evt_9", 900),
        Record(SALESFORCE_WRITES, 1, b"Account:cus_8", None),
    )

    async def load(*customers: bytes, more: int = 1, **which: Any) -> Load:
        seen = len(customers)
        return await footprint.load(
            settings, customers, **which, events=seen * more, seen=seen, chunks=which.pop("chunks", 1)
        )

    both = await load(b"cus_1", b"cus_2")
    assert (both.rows, both.looked_up) == ({"Account": 2, "Contact": 1}, frozenset({"Contact"}))
    assert (await load(b"cus_1", b"cus_2", since=150)).rows == {"Account": 2}
    assert (await load(b"cus_1", b"cus_2", chosen={"evt_1"})).rows == {"Account": 2, "Contact": 2}, (
        "cus_2 is taken for an average one"
    )
    assert (await load(b"cus_1", chosen={"evt_2"})).rows == {"Account": 1}
    assert (await load(b"cus_1", b"cus_2", more=10)).rows == {"Account": 20, "Contact": 10}
    assert (await load(b"cus_7")).rows == dict.fromkeys(DEFAULT_MAPPING, 1)
