"""Every event type of Stripe's list gets the key of its customer, or of itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream.stripe import envelope, routing
from tests.unit import event_types

TYPES = {
    "customer": event_types.types(event_types.CUSTOMER),
    "previous": event_types.types(event_types.PREVIOUS),
    "own": event_types.types(event_types.OWN),
    "none": event_types.types(event_types.NONE),
}


def event(type_: str, object_: dict[str, Any], **more: Any) -> bytes:
    previous = more.pop("previous_attributes", None)
    data = {"object": object_, **({"previous_attributes": previous} if previous is not None else {})}
    return json.dumps(
        {
            "id": "evt_1",
            "object": "event",
            "api_version": "2026-08-26.dahlia",
            "created": 1_760_000_000,
            "data": data,
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": type_,
            **more,
        }
    ).encode()


def key(type_: str, object_: dict[str, Any], **more: Any) -> str:
    return routing.key(envelope.read(event(type_, object_, **more)))


def decoys(object_: str) -> dict[str, Any]:
    """Customers that are named elsewhere in an object, and are not the one it belongs to."""
    return {
        "object": object_,
        "account_holder": {"customer": "cus_wrong"},
        "lines": {"data": [{"customer": "cus_wrong", "id": "il_wrong"}]},
        "related_customer": "cus_wrong",
        "metadata": {"customer": "cus_wrong", "id": "wrong"},
    }


def test_the_table_is_whole() -> None:
    every = [type_ for pairs in TYPES.values() for type_, _ in pairs]
    assert len(every) == len(set(every)) == 303


@pytest.mark.parametrize(("type_", "object_"), TYPES["customer"])
def test_events_of_a_customer_have_its_key(type_: str, object_: str) -> None:
    about = {"id": "xx_1", **decoys(object_), "customer": "cus_1", "customer_account": "acct_of_customer"}
    assert key(type_, about) == "cus_1"
    assert key(type_, about, account="acct_9") == "acct_9/cus_1"
    assert key(type_, {**about, "customer": {"id": "cus_1", "object": "customer"}}) == "cus_1"
    assert key(type_, {**about, "customer": None}) == "acct_of_customer"
    nobody = {**about, "customer": None, "customer_account": None}
    assert key(type_, nobody) == "xx_1"
    assert key(type_, nobody, account="acct_9") == "acct_9/xx_1"


@pytest.mark.parametrize(("type_", "object_"), TYPES["previous"])
def test_what_lost_its_customer_still_goes_to_it(type_: str, object_: str) -> None:
    about = {"id": "pm_1", **decoys(object_), "customer": None, "customer_account": None}
    assert key(type_, about, previous_attributes={"customer": "cus_1"}) == "cus_1"
    assert key(type_, about, previous_attributes={"customer_account": "acct_2"}) == "acct_2"
    both = {"customer": "cus_1", "customer_account": "acct_2"}
    assert key(type_, about, previous_attributes=both, account="acct_9") == "acct_9/cus_1"
    assert key(type_, about, previous_attributes={}) == "pm_1"


@pytest.mark.parametrize(("type_", "object_"), TYPES["own"])
def test_the_others_are_kept_under_their_own_id(type_: str, object_: str) -> None:
    about = {"id": "xx_1", **decoys(object_)}
    assert key(type_, about) == "xx_1"
    assert key(type_, about, account="acct_9") == "acct_9/xx_1"


@pytest.mark.parametrize(("type_", "object_"), TYPES["none"])
def test_what_has_no_id_is_kept_under_the_events(type_: str, object_: str) -> None:
    assert key(type_, decoys(object_)) == "evt_1"
    assert key(type_, decoys(object_), account="acct_9") == "evt_1"


def test_a_customer_that_is_an_account_too_keeps_its_customer_key() -> None:
    assert (
        key("customer.updated", {"id": "cus_1", "object": "customer", "customer_account": "acct_2"})
        == "cus_1"
    )


def test_the_customer_of_now_beats_the_one_before() -> None:
    about = {"id": "pi_1", "object": "payment_intent", "customer": "cus_new"}
    assert key("payment_intent.updated", about, previous_attributes={"customer": "cus_old"}) == "cus_new"


def test_an_upcoming_invoice_without_customer_and_id_is_kept_under_the_event() -> None:
    assert key("invoice.upcoming", {"object": "invoice", "customer": None}) == "evt_1"


@pytest.mark.parametrize("odd", [7, True, ["cus_1"], {}, {"id": 3}, "", "c" * 256])
def test_what_can_be_no_customer_id_is_passed_over(odd: Any) -> None:
    assert key("charge.succeeded", {"id": "ch_1", "object": "charge", "customer": odd}) == "ch_1"


def test_an_id_of_the_users_own_making_is_taken_as_it_is() -> None:
    assert key("coupon.created", {"id": "été\r\n50%", "object": "coupon"}) == "été\r\n50%"
