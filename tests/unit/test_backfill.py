"""Which of Stripe's events are asked for, what is lacking, and the form in which they come into the log."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from stream.backfill import Gap, Wanted, advice, wanted
from stream.commands.plan import _warnings
from stream.kafka.plan import Move, Plan, PlanError
from stream.sandbox.stripe import render
from stream.sandbox.stripe.world import World
from stream.stripe import envelope, routing
from stream.stripe.envelope import Envelope
from stream.stripe.listing import read
from stream.topics import PROJECTOR_GROUP, STRIPE_EVENTS, WRITER_GROUP
from tests.unit.test_routing import event

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def of(customer: str, id_: str = "evt_1", created: int = 1_760_000_000, **more: Any) -> Envelope:
    body = event("customer.updated", {"id": customer, "object": "customer"}, id=id_, created=created, **more)
    return envelope.read(body)


def test_stripe_is_asked_for_a_span_and_for_types() -> None:
    told = wanted(NOW - 2 * DAY, NOW - DAY, ("invoice.paid", "invoice.paid"), None, NOW)
    begin, end = (int((NOW - days * DAY).timestamp()) for days in (2, 1))
    assert told.query == {"created": {"gte": begin, "lt": end}, "types": ["invoice.paid"]}
    open_ = wanted(NOW - 30 * DAY, None, (), None, NOW)
    assert open_.query == {"created": {"gte": begin - 28 * 86_400, "lt": int(NOW.timestamp())}}


@pytest.mark.parametrize(
    ("since", "until", "types", "why"),
    [
        (NOW - 30 * DAY - timedelta(seconds=1), None, (), "2026-03-01T12:02:00Z at the earliest"),
        (NOW - DAY, NOW - DAY, (), "earlier than --until"),
        (NOW + DAY, NOW + 2 * DAY, (), "earlier than"),
        (NOW - DAY, None, tuple(f"a.{n}" for n in range(21)), "at most 20 types"),
    ],
)
def test_what_stripe_cannot_tell_is_refused(
    since: datetime, until: datetime | None, types: tuple[str, ...], why: str
) -> None:
    with pytest.raises(PlanError, match=why):
        wanted(since, until, types, None, NOW)


def test_a_customer_is_told_by_its_key_in_any_account() -> None:
    one = Wanted(0, 1, customer="cus_1")
    assert one.takes(of("cus_1"))
    assert one.takes(of("cus_1", account="acct_1"))
    assert not one.takes(of("cus_10"))
    assert Wanted(0, 1, customer="acct_1/cus_1").takes(of("cus_1", account="acct_1"))
    assert not Wanted(0, 1, customer="acct_1/cus_1").takes(of("cus_1", account="acct_2"))
    assert Wanted(0, 1).takes(of("cus_10"))


def test_what_the_log_holds_is_not_lacking() -> None:
    gap = Gap()
    for number in (5, 4, 3, 2, 1):  # as Stripe lists them
        gap.add(None, of(f"cus_{number % 2}", f"evt_{number}", number))
    gap.add("acct_1", of("cus_1", "evt_6", 6, account="acct_1"))
    for held in ("evt_1", "evt_4", "evt_unheard_of"):
        gap.drop(held)
    assert (gap.listed, len(gap.events), gap.types) == (6, 4, {"customer.updated": 4})
    assert (gap.oldest(None), gap.oldest("acct_1"), gap.oldest("acct_2")) == ("evt_2", "evt_6", None)
    assert [told.key for told in gap.events] == ["cus_1", "cus_1", "cus_0", "acct_1/cus_1"]
    gap.drop("evt_6")
    assert gap.oldest("acct_1") is None


def test_more_than_fits_into_memory_is_to_be_fetched_in_parts() -> None:
    gap = Gap(most=2)
    for number in (7, 6):
        gap.add(None, of("cus_1", f"evt_{number}", number))
    with pytest.raises(PlanError, match="--since 1970-01-01T00:00:06Z first"):
        gap.add(None, of("cus_1", "evt_5", 5))


def test_a_listed_event_has_the_body_of_its_webhook() -> None:
    world = World(3, 5)
    for told in world.events:
        one = read(msgspec.json.encode(render.event(told)), told.account)
        assert one.body == render.body(told)
        assert one.event == envelope.read(one.body)


def test_an_account_that_its_own_events_do_not_name_is_named() -> None:
    small = b'{"id": "x", "object": "price", "unit_amount_decimal": 0.000000000001, "name": "caf\\u00e9"}'
    body = event("price.updated", {}).replace(b"{}", small, 1)
    one = read(body, "acct_1")
    assert (one.event.account, routing.key(one.event)) == ("acct_1", "acct_1/x")
    assert b"0.000000000001" in one.body
    assert json.loads(one.body) == {"account": "acct_1", **json.loads(body)}
    assert read(body.replace(b"{", b'{"account": null, ', 1), "acct_1").event == one.event
    assert read(body).event.account is None


def test_advice_keeps_to_what_stripe_keeps() -> None:
    assert advice(NOW - DAY, NOW).endswith("revstream backfill --since 2026-03-30T12:00:00Z")
    told = advice(NOW - 90 * DAY, NOW)
    at = told.rpartition(" ")[2]
    assert told.endswith(f"those since {at}: revstream backfill --since {at}")
    assert wanted(datetime.fromisoformat(at), None, (), None, NOW)


def test_a_time_before_the_log_names_what_fetches_it() -> None:
    asked = datetime.now(UTC).replace(microsecond=0) - 2 * DAY
    oldest = {(STRIPE_EVENTS, 0): int((asked + DAY).timestamp() * 1000)}

    def told(group: str, at: datetime) -> list[str]:
        plan = Plan("c", group, "to-datetime", "", 0, (Move(STRIPE_EVENTS, 0, 0, 9, 9, 0),))
        return _warnings(plan, "to-datetime", at, oldest)

    (warning,) = told(PROJECTOR_GROUP, asked)
    assert f"revstream backfill --since {asked.isoformat().replace('+00:00', 'Z')}" in warning
    (warning,) = told(WRITER_GROUP, asked)
    assert "revstream offsets plan --to-datetime" in warning
    assert told(PROJECTOR_GROUP, asked + DAY) == []
