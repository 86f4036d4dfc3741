"""A former owner's late rows, told from those of the present one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from agents.steps import Steps
from stream import topics
from stream.kafka.batches import Record
from stream.kafka.epochs import Epochs, mark
from stream.stripe.api import NoKey, StripeApi
from tests.simulation.kafka import Broker, Place
from tests.simulation.projector import Table
from tests.touched import SETTINGS, record

CUSTOMERS = topics.changelog(topics.TABLES[0])


def test_a_lower_epoch_than_before_is_late() -> None:
    epochs = Epochs()
    told = [
        epochs.late(0, offset, (mark(epoch),)) for offset, epoch in enumerate([1, 1, 4, 1, 4, 7, 4, 1, 7])
    ]
    assert told == [False, False, False, True, False, False, True, True, False]
    assert epochs.newest(0) == 7
    assert not epochs.late(1, 9, (mark(2),)), "another partition has other owners"


def test_a_record_without_an_epoch_is_never_late() -> None:
    epochs = Epochs()
    assert not epochs.late(0, 0, (mark(3),))
    assert not epochs.late(0, 1, (("trace", b"1"),))
    assert epochs.newest(0) == 3


@given(st.lists(st.integers(1, 5), max_size=30), st.integers(0, 30))
def test_reading_again_from_anywhere_tells_the_same(written: list[int], again: int) -> None:
    epochs = Epochs()
    told = [epochs.late(0, offset, (mark(epoch),)) for offset, epoch in enumerate(written)]
    assert told == [epoch < max(written[:offset], default=0) for offset, epoch in enumerate(written)]
    rest = [epochs.late(0, offset, (mark(written[offset]),)) for offset in range(again, len(written))]
    assert rest == told[again:]


class _Silent:
    """A Stripe that has no key."""

    def __getattr__(self, name: str) -> Any:
        async def ask(*_: Any, **__: Any) -> Any:
            raise NoKey("There is no key.")

        return ask


class Worker:
    """The projector's steps on a partition of its own, recovered. While it is `cut_off`, what it sends to the
    changelogs is still on its way."""

    def __init__(self, broker: Broker, generation: int) -> None:
        self.line = asyncio.Event()
        self.line.set()
        self._broker = broker
        self.tables = [Table(name) for name in topics.TABLES]
        for table in self.tables:
            table.recover(broker, 0)
        self.steps = Steps(SETTINGS, self, cast(StripeApi, _Silent()), *self.tables)
        self.steps.own(0, generation)

    async def send(self, records: Iterable[Record]) -> dict[Place, int]:
        records = list(records)
        if any(record.topic == CUSTOMERS for record in records):
            await self.line.wait()
        return {(record.topic, record.partition): self._broker.append(record) for record in records}

    def held(self) -> dict[int, Any]:
        return {n: dict(table.items(0)) for n, table in enumerate(self.tables)}


async def test_a_late_row_of_a_worker_that_was_thought_dead_undoes_nothing() -> None:
    broker = Broker(random.Random(1), 1)
    customer = {"id": "cus_1", "object": "customer", "name": "Ada"}
    created = record("customer.created", customer, id_="evt_1", created=1, offset=0)
    renamed = record("customer.updated", {**customer, "name": "Byron"}, id_="evt_2", created=2, offset=1)
    former = Worker(broker, 3)
    former.line.clear()
    under_way = asyncio.create_task(former.steps.project(0, [created]))
    await asyncio.sleep(0)
    present = Worker(broker, 4)
    await present.steps.project(0, [created, renamed])
    former.line.set()
    await under_way
    assert len(broker.logs[CUSTOMERS, 0]) == 2, "the late row is the last"

    successor = Worker(broker, 5)
    assert successor.held() == present.held()
    # Compaction would keep the late row only, so the next chunk writes the right one again.
    other = record("customer.created", {**customer, "id": "cus_2"}, id_="evt_3", key="cus_2", offset=2)
    await successor.steps.project(0, [other])
    assert broker.logs[CUSTOMERS, 0][-1].key == b"cus_1"
    compacted = {stored.key: stored.value for stored in broker.logs[CUSTOMERS, 0]}
    assert compacted == dict(successor.tables[0].items(0))
    before = len(broker.logs[CUSTOMERS, 0])
    await successor.steps.project(0, [other])
    assert len(broker.logs[CUSTOMERS, 0]) == before, "once is enough"


async def test_epochs_grow_though_generations_begin_again() -> None:
    broker = Broker(random.Random(1), 1)
    customer = {"id": "cus_1", "object": "customer", "name": "Ada"}
    for number, generation in enumerate((40, 1, 1, 2)):
        changed = {**customer, "name": f"Ada {number}"}
        worker = Worker(broker, generation)
        await worker.steps.project(
            0, [record("customer.updated", changed, id_=f"evt_{number}", created=number, offset=number)]
        )
    assert Worker(broker, 3).held() == worker.held()
    assert [stored.headers for stored in broker.logs[CUSTOMERS, 0]] == [(mark(n),) for n in (40, 41, 42, 43)]
