"""`revstream explain`, with no Kafka, no network and nothing written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.explain import Unexplained, as_json, explain, lines
from stream.settings import Settings

PRICE = {"id": "price_1", "object": "price", "currency": "usd", "product": "prod_1", "nickname": "Team",
         "unit_amount": 1500, "billing_scheme": "per_unit",
         "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"}}  # fmt: skip
ITEM = {
    "id": "si_1",
    "price": PRICE,
    "quantity": 5,
    "current_period_start": 100,
    "current_period_end": 2_592_100,
}
SUBSCRIPTION = {"id": "sub_1", "object": "subscription", "customer": "cus_1", "status": "active",
                "currency": "usd", "created": 100, "items": {"data": [ITEM]}}  # fmt: skip


def event(type_: str, object_: dict[str, Any], previous: dict[str, Any] | None = None) -> bytes:
    data = {"object": object_, **({"previous_attributes": previous} if previous else {})}
    told = {"id": "evt_1", "object": "event", "type": type_, "created": 200, "livemode": False, "data": data}
    return msgspec.json.encode(told)


SEATS = event("customer.subscription.updated", SUBSCRIPTION, {"items": {"data": [{**ITEM, "quantity": 2}]}})


async def test_a_change_is_told_with_its_arithmetic_and_its_records() -> None:
    told = "\n".join(lines(await explain(SEATS, Settings())))
    assert "customer.subscription.updated evt_1 of cus_1" in told
    assert "seats (expansion)" in told
    assert "Team: 2 × 15.00 USD per month = 30.00 USD" in told
    assert "MRR 30.00 USD, ARR 360.00 USD" in told
    assert "MRR 75.00 USD, ARR 900.00 USD" in told
    assert 'Stripe_Movement__c = "expansion"' in told
    assert "Amount = 540.0" in told
    assert "Stripe_MRR__c = 75.0" in told


async def test_as_json_amounts_are_exact() -> None:
    told = json.loads(json.dumps(as_json(await explain(SEATS, Settings()))))
    movement = told["movement"]
    assert (movement["kind"], movement["change"]) == ("seats", "expansion")
    assert (movement["before"]["minor_units"], movement["after"]["minor_units"]) == ("3000", "7500")
    assert {write["object"] for write in told["records"]} == {"Account", "Opportunity"}


async def test_what_the_event_does_not_tell_of_the_customer_is_left_out() -> None:
    told = await explain(SEATS, Settings())
    (account,) = (write for write in told.records if write.object == "Account")
    assert "Name" not in account.fields
    assert "Stripe_Delinquent__c" not in account.fields
    of_customer = await explain(event("customer.created", {"id": "cus_1", "name": "Ada"}), Settings())
    assert [write.object for write in of_customer.records] == ["Account", "Contact"]


async def test_a_price_that_only_stripe_knows_is_asked_for_and_not_guessed() -> None:
    tiered = {**ITEM, "price": {**PRICE, "billing_scheme": "tiered", "unit_amount": None}}
    body = event("customer.subscription.created", {**SUBSCRIPTION, "items": {"data": [tiered]}})
    told = await explain(body, Settings())
    assert told.movement is None
    assert any("STRIPE_API_KEY" in why and "price_1" in why for why in told.why)
    assert not any({"Stripe_MRR__c", "Amount"} & write.fields.keys() for write in told.records)


@pytest.mark.parametrize(
    ("type_", "object_", "why"),
    [
        ("payout.paid", {"id": "po_1"}, "No workflow"),
        ("product.updated", {"id": "prod_1"}, "what is sold"),
    ],
)
async def test_an_event_that_makes_no_record_says_why(type_: str, object_: dict[str, Any], why: str) -> None:
    told = await explain(event(type_, object_), Settings())
    assert told.records == ()
    assert why in told.why[0]


@pytest.mark.parametrize("body", [b"{", b"[]", b"", event("customer.created", {"name": "no id"})])
async def test_what_is_no_event_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(Unexplained):
        await explain(body, Settings())


def test_the_command_reads_a_file_and_ends_with_its_exit_code(tmp_path: Path) -> None:
    kept = tmp_path / "event.json"
    kept.write_bytes(SEATS)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "stream.cli", "explain", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    told = run(str(kept), "--json")
    assert (told.returncode, json.loads(told.stdout)["movement"]["kind"]) == (0, "seats")
    missing = run(str(tmp_path / "none.json"))
    assert missing.returncode == 1
    assert "No such file" in missing.stderr
    assert "Traceback" not in missing.stderr
