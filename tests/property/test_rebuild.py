"""A rebuild of whole lives: a healthy row stays, however much of the log is left, and a broken one is mended."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import cast

import msgspec
import pytest

from agents.events import Kept, State
from agents.rebuild.differences import content
from agents.rebuild.partition import UNREADABLE, Log, Partition, Row, read, row
from agents.stock import Stock
from stream.records import REPLAY, Write, decode_write
from stream.sandbox.stripe.world import World
from tables.customer_mapping import Link
from tables.payments import Payments
from tables.versions import Versioned
from tests.lives import SETTINGS, Projector, played, records

LIVES, BATCH = 40, 20
FAR = 2**50  # no customer is younger


class Life:
    """A life that has gone through the projector, in shuffled order and with duplicates."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed, 1)
        self.rng = random.Random(seed)
        log = records(self.world.events)
        log += self.rng.choices(log, k=len(log) // 4)
        self.rng.shuffle(log)
        self.log = [msgspec.structs.replace(record, offset=n) for n, record in enumerate(log)]
        self.projector = played(self.world, self.log, rng=self.rng)
        self.rows = {key: row(self.projector.load(key)) for key in self.projector._rows}

    @property
    def asked(self) -> dict[str, Write]:
        return self.projector.salesforce.writes

    async def rebuilt(
        self, rows: dict[bytes, Row], asked: dict[str, Write], start: int = 0, live_from: int | None = None
    ) -> Partition:
        end = len(self.log)
        log = Log(start, end, end if live_from is None else live_from, FAR)
        stock = cast(Stock, _Stock(self.projector))
        partition = Partition(0, log, rows, asked, stock, SETTINGS, live=live_from is not None)
        for chunk in _chunks(self.log[start:], self.rng):
            partition.fold(chunk)
        await partition.settle()
        await partition.tell(partition.keys)
        for chunk in _chunks(self.log[start:], self.rng):
            await partition.retell(chunk)
        return partition


class _Stock:
    def __init__(self, projector: Projector) -> None:
        self.lookup = projector._shelf


def _chunks(log: Sequence[Kept], rng: random.Random) -> list[Sequence[Kept]]:
    size = rng.randint(1, 40)
    return [log[at : at + size] for at in range(0, len(log), size)]


def _broken(state: State) -> State:
    """What a mistake in reading Stripe's objects, and in counting money, would have left."""
    mapping, customer = state.mapping, state.mapping.customer
    assert customer is not None
    wrong = tuple(
        msgspec.structs.replace(
            one, body=msgspec.structs.replace(one.body, name="Wrong", email="x@y.example")
        )
        for one in customer.tellings
    )
    customer = Versioned(customer.created, wrong)
    subscribed = state.subscriptions
    starts = {
        id_: msgspec.structs.replace(one, body=msgspec.structs.replace(one.body, items=()))
        for id_, one in subscribed.starts.items()
    }
    return State(
        msgspec.structs.replace(mapping, customer=customer, payments=Payments()),
        msgspec.structs.replace(subscribed, starts=starts),
    )


@pytest.mark.parametrize("first", range(0, LIVES, BATCH))
async def test_a_healthy_row_stays_as_it_is_however_much_of_the_log_is_left(first: int) -> None:
    for seed in range(first, first + BATCH):
        life = Life(seed)
        for start in (0, life.rng.randrange(len(life.log))):
            partition = await life.rebuilt(life.rows, {}, start)
            assert list(partition.changes()) == [], f"seed {seed}, from {start}"
            assert partition.differences == [], f"seed {seed}, from {start}"


@pytest.mark.parametrize("first", range(0, LIVES, BATCH))
async def test_a_broken_row_is_mended_and_what_differs_is_sent(first: int) -> None:
    for seed in range(first, first + BATCH):
        life = Life(seed)
        broken = {key: row(_broken(read(held))) for key, held in life.rows.items()}
        partition = await life.rebuilt(broken, life.asked)
        mended = {change.key: change.value for change in partition.changes() if "mapping" in change.topic}
        assert mended == {key: held[0] for key, held in life.rows.items()}, f"seed {seed}"
        # Nothing of it had reached Salesforce yet.
        assert partition.differences == [], f"seed {seed}"


@pytest.mark.parametrize("first", range(0, LIVES, BATCH))
async def test_only_records_that_were_asked_for_otherwise_are_sent(first: int) -> None:
    for seed in range(first, first + BATCH):
        life = Life(seed)
        asked = dict(life.asked)
        wrong = life.rng.sample(sorted(asked), k=life.rng.randint(0, len(asked)))
        for key in wrong:
            fields = dict.fromkeys(asked[key].fields, "wrong")
            asked[key] = msgspec.structs.replace(asked[key], fields=fields)
        partition = await life.rebuilt(life.rows, asked)
        sent = {record.key.decode(): record for record in partition.writes() if record.key}
        assert sent.keys() == {key for key in wrong if asked[key].fields}, f"seed {seed}"
        for key, record in sent.items():
            assert content(decode_write(record.value or b"")) == content(life.asked[key]), f"seed {seed}"
            assert record.headers == (REPLAY,)


async def test_salesforce_ids_and_a_lost_row() -> None:
    life = Life(1)
    ((key, held),) = life.rows.items()
    state = read(held)
    linked = msgspec.structs.replace(state.mapping, account=Link("001A", 1, "email"))
    known = row(msgspec.structs.replace(_broken(state), mapping=linked))
    partition = await life.rebuilt({key: known}, {})
    assert read(partition.new(key)).mapping.account == Link("001A", 1, "email")

    partition = await life.rebuilt({}, {})
    assert partition.new(key) == held
    assert {one.after.key for one in partition.differences} == life.asked.keys()
    assert all(one.before is None for one in partition.differences)


async def test_a_row_that_cannot_be_read_is_made_anew() -> None:
    life = Life(1)
    ((key, held),) = life.rows.items()
    for half in ((UNREADABLE, held[1]), (held[0], UNREADABLE)):
        partition = await life.rebuilt({key: half}, life.asked)
        assert partition.new(key) == held
        assert len(list(partition.changes())) == 1
    partition = await life.rebuilt({b"cus_2": (UNREADABLE, held[1])}, {})
    assert (partition.customers["broken"], partition.customers["full"]) == (1, 1)


async def test_a_customer_whose_creation_nobody_tells_is_left_to_a_replay() -> None:
    life = Life(1)
    life.log = [one for one in life.log if dict(one.headers)["type"] != b"customer.created"]
    life.log = [one for one in life.log if dict(one.headers)["type"] != b"customer.updated"]
    life.log = [msgspec.structs.replace(one, offset=n) for n, one in enumerate(life.log)]
    partition = await life.rebuilt({}, {})
    assert (partition.customers, list(partition.changes())) == ({"unknown": 1}, [])


async def test_customers_with_events_on_their_way_are_left_out() -> None:
    life = Life(1)
    ((key, held),) = life.rows.items()
    broken = {key: row(_broken(read(held)))}
    newest = max(one.offset for one in life.log if one.key == key)
    partition = await life.rebuilt(broken, {}, live_from=newest)
    assert (list(partition.changes()), partition.differences, partition.untold) == ([], [], [])
    assert partition.customers == {"moving": 1}
