"""The projector's core: what a chunk comes to, who has to wait, and what has to be fetched first."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from agents import projector
from agents.events import Kept, State
from agents.pricing import Unknown, Unpriceable
from agents.projector import Emitted, Folded, emit, fold_chunk, settle
from agents.touched import Touched, Wanted, Workflow
from stream.records import Notice, Write
from stream.stripe.catalogue import Entries
from tests.touched import SETTINGS, record

CUSTOMER = {"id": "cus_1", "object": "customer", "name": "Ada"}
SUBSCRIPTION = {"id": "sub_1", "object": "subscription", "customer": "cus_1", "status": "active"}


class Table:
    """Rows as the shell keeps them: encoded, chunk by chunk."""

    def __init__(self) -> None:
        self.states: dict[bytes, State] = {}

    def load(self, key: bytes) -> State:
        return self.states.get(key, State())

    def chunk(self, *records: Kept) -> Folded:
        folded = fold_chunk(records, self.load)
        settle(folded, "stripe.events", 0)
        self.states |= {
            key: msgspec.json.decode(msgspec.json.encode(state), type=State)
            for key, state in folded.states.items()
        }
        return folded


def told(folded: Folded) -> list[tuple[str, tuple[str, ...]]]:
    emitted = Emitted()
    assert emit(folded, folded.touched, lambda _: Entries({}), SETTINGS, emitted) == {}
    return [(write.key, tuple(ref.id for ref in write.events)) for write in emitted.writes]


def test_an_event_of_an_unknown_customer_waits_and_then_comes_with_the_customer() -> None:
    table = Table()
    first = table.chunk(record("customer.subscription.created", SUBSCRIPTION, id_="evt_s"))
    assert told(first) == []
    assert dict(first.outcomes) == {("applied", "new"): 0, ("waiting", "customer_unknown"): 1}
    assert [one.event_id for one in table.states[b"cus_1"].mapping.waiting] == ["evt_s"]
    second = table.chunk(record("customer.created", CUSTOMER, id_="evt_c"))
    assert [event.ref.id for event in second.touched[b"cus_1"]] == ["evt_s", "evt_c"]
    assert told(second) == [
        (key, ("evt_s", "evt_c")) for key in ("Account:cus_1", "Contact:cus_1", "Opportunity:sub_1")
    ]
    assert table.states[b"cus_1"].mapping.waiting == ()


def test_what_waits_is_the_untouched_record() -> None:
    table = Table()
    sent = record("customer.subscription.created", SUBSCRIPTION, id_="evt_é", offset=7)
    odd = msgspec.structs.replace(sent, headers=(*sent.headers, ("api_version", b"\xff")))
    table.chunk(odd)
    (event, _) = table.chunk(record("customer.created", CUSTOMER)).touched[b"cus_1"]
    assert event.record == odd


def test_an_event_that_comes_twice_waits_once() -> None:
    table = Table()
    for _ in range(2):
        table.chunk(record("customer.subscription.created", SUBSCRIPTION, id_="evt_s"))
    assert len(table.states[b"cus_1"].mapping.waiting) == 1


def test_more_than_can_wait_are_dead_letters_that_say_what_to_do() -> None:
    table = Table()
    updates = [
        record("customer.subscription.updated", SUBSCRIPTION, id_=f"evt_{n}", offset=n)
        for n in range(projector.MAX_WAITING + 2)
    ]
    folded = table.chunk(*updates)
    assert [refused.error.code for refused in folded.refused] == ["customer_unknown"] * 2
    assert "STRIPE_API_KEY" in folded.refused[0].error.message
    assert folded.refused[0].record is updates[projector.MAX_WAITING]
    assert folded.outcomes["waiting", "customer_unknown"] == projector.MAX_WAITING
    assert sum(folded.outcomes.values()) == len(updates)


@pytest.mark.parametrize("key", ["sub_1", "acct_1/sub_1"])
def test_an_event_under_its_own_id_is_a_stray(key: str) -> None:
    ownerless = {**SUBSCRIPTION, "customer": None}
    folded = fold_chunk([record("customer.subscription.updated", ownerless, key=key)], Table().load)
    assert [event.object.id for event in folded.strays] == ["sub_1"]
    assert folded.states == {}


def test_a_change_of_the_catalogue_touches_no_customer() -> None:
    renamed = record("product.updated", {"id": "prod_1"}, key="acct_1/prod_1")
    priced = record("price.created", {"id": "price_1"}, key="price_1", offset=1)
    folded = fold_chunk([renamed, priced], Table().load)
    assert folded.renewed == {"acct_1": {"prod_1"}, None: {"price_1"}}
    assert folded.outcomes == {("applied", "catalogue"): 2}


def test_an_event_of_a_discount_tells_of_it_and_touches_no_customer() -> None:
    source = {"type": "coupon", "coupon": "HALF"}
    told = {"id": "di_1", "object": "discount", "customer": "cus_1", "source": source}
    old = {"object": "discount", "customer": "cus_1", "coupon": {"id": "HALF", "percent_off": 50}}
    folded = fold_chunk(
        [
            record("customer.discount.created", told, key="acct_1/cus_1"),
            record("customer.discount.deleted", old, offset=1),
            record("customer.discount.deleted", {"id": 7}, offset=2),
        ],
        lambda _: State(),
    )
    assert {key: one.coupon for key, one in folded.discounts.items()} == {"acct_1/di_1": "HALF"}
    assert not folded.touched
    assert dict(folded.outcomes) == {("applied", "catalogue"): 2, ("dead-lettered", "undecodable"): 1}


def test_other_types_are_ignored_without_being_parsed() -> None:
    junk = msgspec.structs.replace(record("payout.paid", {}), value=b"{")
    assert fold_chunk([junk], Table().load).outcomes == {("ignored", "no_workflow"): 1}


@pytest.mark.parametrize(
    ("spoilt", "named"),
    [
        ({"value": None}, "no key or no value"),
        ({"key": None}, "no key or no value"),
        ({"headers": ()}, "header"),
        ({"value": b"{"}, "documents"),
        ({"value": json.dumps({"data": {"object": {"name": "x"}}}).encode()}, "`id`"),
    ],
)
def test_what_cannot_be_read_is_set_aside_with_the_field_and_not_its_value(
    spoilt: dict[str, Any], named: str
) -> None:
    broken = msgspec.structs.replace(record("customer.updated", CUSTOMER), **spoilt)
    folded = fold_chunk([broken, record("customer.created", CUSTOMER, offset=1)], Table().load)
    (refused,) = folded.refused
    assert refused.record is broken
    assert (refused.error.code, refused.stage) == ("undecodable", "decode")
    assert named in refused.error.message
    assert list(folded.touched) == [b"cus_1"]


# Workflows


@pytest.fixture
def workflow(monkeypatch: pytest.MonkeyPatch) -> list[Touched]:
    """One workflow about subscriptions, which needs a price and cannot price `sub_bad`."""
    asked: list[Touched] = []

    def project(touched: Touched) -> Iterable[Write | Notice]:
        asked.append(touched)
        if "sub_bad" in touched.state.subscriptions.by_id:
            raise Unpriceable("Price price_1 was deleted.")
        if touched.lookup.price("price_1") is None:
            raise Wanted(Unknown(prices=("price_1",)))
        return ()

    mine = Workflow(frozenset({"customer.subscription"}), project)
    monkeypatch.setattr(projector, "WORKFLOWS", (projector.WORKFLOWS[0], mine))
    return asked


def chunk(*subscriptions: str) -> Folded:
    events = [record("customer.created", CUSTOMER)]
    events += [
        record("customer.subscription.created", {**SUBSCRIPTION, "id": id_}, offset=n)
        for n, id_ in enumerate(subscriptions, 1)
    ]
    return Table().chunk(*events)


def test_who_needs_a_fetch_is_told_of_once_it_is_there(workflow: list[Touched]) -> None:
    folded, emitted = chunk("sub_1"), Emitted()
    wanted = emit(folded, folded.touched, lambda _: Entries({}), SETTINGS, emitted)
    assert wanted == {b"cus_1": Unknown(prices=("price_1",))}
    assert emitted.writes == []


def test_what_no_fetch_helps_is_a_dead_letter_and_the_customer_goes_on(workflow: list[Touched]) -> None:
    folded, emitted = chunk("sub_bad"), Emitted()
    assert emit(folded, folded.touched, lambda _: Entries({}), SETTINGS, emitted) == {}
    (refused,) = folded.refused
    assert (refused.error.code, refused.stage) == ("price_unknown", "project")
    assert "price_1" in refused.error.message
    assert [write.object for write in emitted.writes] == ["Account", "Contact"]
    assert folded.outcomes == {
        ("applied", "new"): 1,
        ("dead-lettered", "price_unknown"): 1,
    }


def test_a_workflow_is_asked_when_its_events_are_there_or_when_there_are_none(
    workflow: list[Touched],
) -> None:
    folded = chunk()
    emit(folded, folded.touched, lambda _: Entries({}), SETTINGS, Emitted())
    assert workflow == []
    folded.touched[b"cus_1"] = []
    assert emit(folded, folded.touched, lambda _: Entries({}), SETTINGS, Emitted())
    assert [touched.events for touched in workflow] == [()]


def test_a_subscription_that_events_do_not_tell_in_full_is_to_be_fetched() -> None:
    half = {**SUBSCRIPTION, "id": "sub_2", "items": {"data": [], "has_more": True}}
    told = [
        record("customer.created", CUSTOMER),
        record("customer.subscription.updated", {**SUBSCRIPTION, "status": "past_due"}, {}, offset=1),
        record("customer.subscription.updated", {**SUBSCRIPTION, "status": "unpaid"}, {}, offset=2),
        record("customer.subscription.created", half, offset=3),
        record("customer.subscription.created", {**SUBSCRIPTION, "id": "sub_3"}, offset=4),
    ]
    assert Table().chunk(*told).half_told == [(b"cus_1", "sub_1"), (b"cus_1", "sub_2")]
