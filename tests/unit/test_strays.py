"""Events that name no customer: whose they are, and what is said when that cannot be known."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any, cast

import pytest

from agents.events import State
from agents.projector import fold_chunk
from agents.steps import Steps
from agents.strays import Owner, Owners
from stream import topics
from stream.kafka.batches import Record
from stream.records import REPLAY
from stream.settings import Settings
from stream.stripe.api import Away, NoKey, NotFound, StripeApi
from stream.stripe.shapes import Charge
from tests.money import CUSTOMER, charge, dispute, invoice, refund, warning
from tests.simulation.kafka import Broker, Place
from tests.simulation.projector import Table
from tests.touched import event, record


class Stripe:
    """Stripe's charges, and how often it was asked for one."""

    def __init__(self, customer: str | None = "cus_1", error: Exception | None = None) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self._customer = customer
        self._error = error

    async def charge(self, id_: str, account: str | None = None) -> Charge:
        self.asked.append((id_, account))
        if self._error:
            raise self._error
        return Charge(id_, 1000, "usd", "succeeded", customer=self._customer)

    def __getattr__(self, name: str) -> Any:
        async def ask(*_: Any, **__: Any) -> Any:
            raise NoKey("Of anything else it does not tell.")

        return ask


class Projector:
    """The steps on a log of one partition."""

    def __init__(self) -> None:
        self.broker = Broker(random.Random(1), 1)
        self._tables = [Table(name) for name in topics.TABLES]
        settings = Settings(kafka={"partitions": 1})  # type: ignore[arg-type]
        self._steps = Steps(settings, self, cast(StripeApi, Stripe()), *self._tables)
        self._steps.own(0, 1)

    async def send(self, records: Iterable[Record]) -> dict[Place, int]:
        return {(record.topic, record.partition): self.broker.append(record) for record in records}

    async def read(self) -> None:
        """From the log's beginning to its end, and what is added to it meanwhile. What was there is a replay."""
        events = self.broker.logs[topics.STRIPE_EVENTS, 0]
        self._steps.until = {0: len(events) if self.held[0] else 0}
        offset = 0
        while chunk := events[offset:]:
            await self._steps.project(0, chunk)
            offset += len(chunk)

    @property
    def held(self) -> list[dict[bytes, bytes]]:
        """The tables' rows."""
        return [dict(table.items(0)) for table in self._tables]

    def newest(self, topic: str) -> dict[bytes | None, bytes | None]:
        """The last record of each key."""
        return {stored.key: stored.value for stored in self.broker.logs[topic, 0]}


def owners(stripe: Stripe) -> Owners:
    return Owners(stripe)  # type: ignore[arg-type]


STRAYS: list[tuple[str, dict[str, Any]]] = [
    ("charge.dispute.created", dispute()),
    ("charge.refund.updated", refund(customer=None)),
    ("refund.created", refund(customer=None)),
    ("radar.early_fraud_warning.created", warning()),
]


@pytest.mark.parametrize(("type_", "object_"), STRAYS)
async def test_a_stray_belongs_to_its_charges_customer(type_: str, object_: dict[str, Any]) -> None:
    stripe = Stripe()
    for account, key in (("", "cus_1"), ("acct_1/", "acct_1/cus_1")):
        stray = event(type_, object_, key=f"{account}{object_['id']}")
        assert await owners(stripe).of(stray) == Owner(key)
    assert stripe.asked == [("ch_1", None), ("ch_1", "acct_1")]


async def test_a_charge_is_asked_for_once() -> None:
    stripe = Stripe()
    known = owners(stripe)
    for type_, object_ in STRAYS:
        await known.of(event(type_, object_, key=object_["id"]))
    assert stripe.asked == [("ch_1", None)]


async def test_a_guests_charge_is_nobodys() -> None:
    stripe = Stripe(customer=None)
    for type_, object_ in (*STRAYS, ("charge.succeeded", charge(customer=None))):
        assert await owners(stripe).of(event(type_, object_, key=object_["id"])) == Owner()
    assert ("ch_1", None) in stripe.asked


async def test_an_invoice_without_a_customer_says_so() -> None:
    owner = await owners(Stripe()).of(event("invoice.paid", invoice("paid", customer=None), key="in_1"))
    assert str(owner.error).startswith("invoice.paid about in_1 names no customer, and Stripe names one")


async def test_a_charge_that_is_not_there_is_told_with_the_event() -> None:
    known = owners(Stripe(error=NotFound("Stripe has no charge ch_1.")))
    owner = await known.of(event("charge.dispute.created", dispute(), key="du_1"))
    assert owner.error is not None
    assert owner.error.startswith("charge.dispute.created about du_1 names no customer, only a charge.")
    assert "Stripe has no charge ch_1." in owner.error


async def test_stripe_away_is_asked_again() -> None:
    with pytest.raises(Away):
        await owners(Stripe(error=Away("503"))).of(event("charge.dispute.created", dispute(), key="du_1"))


async def test_every_full_replay_adds_each_stray_once_and_changes_nothing() -> None:
    """A copy lies under its customer, so it is not copied itself: what replays add does not grow with them."""
    projector = Projector()
    told = [("customer.created", CUSTOMER, "cus_1"), ("charge.succeeded", charge(), "cus_1")]
    told += [(type_, object_, object_["id"]) for type_, object_ in STRAYS]
    for number, (type_, object_, key) in enumerate(told):
        held = record(type_, object_, key=key, created=100 + number, offset=number)
        headers = tuple(held.headers)
        projector.broker.append(Record(topics.STRIPE_EVENTS, 0, held.key or b"", held.value, headers))
    events, notices = (projector.broker.logs[topic, 0] for topic in (topics.STRIPE_EVENTS, topics.NOTICES))
    await projector.read()
    assert [stored.key for stored in events[len(told) :]] == [b"cus_1"] * len(STRAYS)
    assert notices
    rows, writes = projector.held, projector.newest(topics.SALESFORCE_WRITES)

    for _ in range(3):
        before, said = len(events), len(notices)
        await projector.read()
        added = events[before:]
        assert len(notices) > said
        assert [(stored.key, stored.value) for stored in added] == [
            (b"cus_1", stored.value) for stored in events[2 : len(told)]
        ]
        assert all(REPLAY in stored.headers for stored in (*added, *notices[said:]))
        assert (projector.held, projector.newest(topics.SALESFORCE_WRITES)) == (rows, writes)


def test_strays_are_parted_from_the_rest() -> None:
    records = [
        record(type_, object_, key=object_["id"], offset=n) for n, (type_, object_) in enumerate(STRAYS)
    ]
    mine = record("charge.succeeded", charge(), offset=9)
    folded = fold_chunk([*records, mine], lambda _: State())
    assert len(folded.strays) == len(STRAYS)
    assert folded.touched.keys() == {b"cus_1"}


def test_a_foretold_invoice_is_left_alone() -> None:
    folded = fold_chunk([record("invoice.upcoming", invoice(id=None))], lambda _: State())
    assert dict(folded.outcomes) == {("ignored", "no_workflow"): 1}
