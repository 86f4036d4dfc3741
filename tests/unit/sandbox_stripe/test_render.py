"""The truth as Stripe's JSON: what moved between versions stands where it belongs."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from stream.sandbox.stripe import render
from stream.sandbox.stripe.identities import Mixture
from stream.sandbox.stripe.objects import Address, Cancellation, Item, Pause, Thing
from stream.sandbox.stripe.world import World
from tests.unit.sandbox_stripe import things
from tests.unit.sandbox_stripe.things import ACACIA, ALL, ENDIVE, OLD, VERSIONS

Json = dict[str, Any]

# Of each noun: the paths that are there in all three versions, then those that a version has or lacks.
MOVED: list[tuple[Thing, str, tuple[str, ...]]] = [
    (things.SUBSCRIPTION, "current_period_end", (OLD, ACACIA)),
    (things.SUBSCRIPTION, "items.data.0.current_period_end", (ENDIVE,)),
    (things.SUBSCRIPTION, "discount.coupon.percent_off", (OLD, ACACIA)),
    (things.SUBSCRIPTION, "discounts.0", VERSIONS),
    (things.SUBSCRIPTION, "plan.amount_decimal", (OLD, ACACIA)),
    (things.SUBSCRIPTION, "quantity", (OLD, ACACIA)),
    (things.SUBSCRIPTION, "billing_mode.type", (ENDIVE,)),
    (things.SUBSCRIPTION, "items.data.0.price.unit_amount_decimal", VERSIONS),
    (things.SUBSCRIPTION, "items.data.0.price.recurring.aggregate_usage", (OLD, ACACIA)),
    (things.INVOICE, "subscription", (OLD, ACACIA)),
    (things.INVOICE, "parent.subscription_details.subscription", (ENDIVE,)),
    (things.INVOICE, "charge", (OLD, ACACIA)),
    (things.INVOICE, "payment_intent", (OLD, ACACIA)),
    (things.INVOICE, "paid", (OLD, ACACIA)),
    (things.INVOICE, "tax", (OLD, ACACIA)),
    (things.INVOICE, "discount.coupon.id", (OLD, ACACIA)),
    (things.INVOICE, "total_taxes", (ENDIVE,)),
    (things.INVOICE, "lines.data.0.price.id", (OLD, ACACIA)),
    (things.INVOICE, "lines.data.0.plan.id", (OLD, ACACIA)),
    (things.INVOICE, "lines.data.0.type", (OLD, ACACIA)),
    (things.INVOICE, "lines.data.0.proration", (OLD, ACACIA)),
    (things.INVOICE, "lines.data.0.pricing.price_details.price", (ENDIVE,)),
    (things.INVOICE, "lines.data.0.parent.subscription_item_details.subscription_item", (ENDIVE,)),
    (things.INVOICE, "lines.data.1.parent.invoice_item_details.proration", (ENDIVE,)),
    (things.INVOICE, "lines.data.1.invoice_item", (OLD, ACACIA)),
    (things.INVOICE, "payments", ()),
    (things.CHARGE, "invoice", (OLD, ACACIA)),
    (things.CHARGE, "refunds.data.0.id", (OLD,)),
    (things.CHARGE, "customer", VERSIONS),
    (things.INTENT, "invoice", (OLD, ACACIA)),
    (things.INTENT, "charges.data", (OLD,)),
    (things.INTENT, "latest_charge", VERSIONS),
    (things.REFUND, "customer", (ENDIVE,)),
    (things.DISPUTE, "customer", ()),
    (things.DISPUTE, "charge", VERSIONS),
    (things.DISCOUNT, "coupon.percent_off", (OLD, ACACIA)),
    (things.DISCOUNT, "source.coupon", (ENDIVE,)),
    (things.TIERED, "tiers", ()),
    (things.TIERED, "tiers_mode", VERSIONS),
]


def has(rendered: Any, path: str) -> bool:
    for step in path.split("."):
        if isinstance(rendered, list):
            if int(step) >= len(rendered):
                return False
            rendered = rendered[int(step)]
        elif not isinstance(rendered, dict) or step not in rendered:
            return False
        else:
            rendered = rendered[step]
    return True


@pytest.mark.parametrize(("thing", "path", "versions"), MOVED, ids=[f"{m[0].id[:4]}{m[1]}" for m in MOVED])
def test_what_moved_stands_where_each_version_has_it(
    thing: Thing, path: str, versions: tuple[str, ...]
) -> None:
    assert tuple(v for v in VERSIONS if has(render.thing(thing, v), path)) == versions


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("thing", ALL, ids=lambda thing: type(thing).__name__)
def test_an_object_names_itself_and_its_keys_are_in_stripes_order(thing: Thing, version: str) -> None:
    keys = list(render.thing(thing, version))
    assert keys[:2] == ["id", "object"]
    assert keys[2:] == sorted(keys[2:])


def test_amounts() -> None:
    flat, tiered = render.thing(things.FLAT, ENDIVE), render.thing(things.TIERED, ENDIVE, ["tiers"])
    assert (flat["unit_amount"], flat["unit_amount_decimal"]) == (None, "499.5")
    assert flat["transform_quantity"] == {"divide_by": 1000, "round": "up"}
    assert (tiered["unit_amount"], tiered["unit_amount_decimal"]) == (None, None)
    assert [tier["up_to"] for tier in tiered["tiers"]] == [5, None]
    assert tiered["tiers"][0] == {
        "flat_amount": 9000, "flat_amount_decimal": "9000", "unit_amount": 0, "unit_amount_decimal": "0",
        "up_to": 5,
    }  # fmt: skip
    invoice = render.thing(things.INVOICE, OLD)
    assert (invoice["subtotal"], invoice["total"], invoice["amount_remaining"]) == (900, 645, 0)
    assert invoice["total_discount_amounts"] == [{"amount": 255, "discount": things.DISCOUNT.id}]


def test_a_foretold_invoice_has_no_id() -> None:
    upcoming = msgspec.structs.replace(things.INVOICE, id="", status="draft", token=None)
    for version in VERSIONS:
        assert "id" not in render.thing(upcoming, version)


def test_a_pause_says_why_since_endive() -> None:
    at = things.AT + 9
    asked = msgspec.structs.replace(things.SUBSCRIPTION, status="paused", paused_at=at)
    broke = msgspec.structs.replace(asked, missing_payment_method="pause", trial_end=at)
    told = [
        render.thing(it, ENDIVE)["status_details"]["paused"]["subscription"]["type"] for it in (asked, broke)
    ]
    assert told == ["pause_requested", "trial_end_without_payment_method"]
    assert "status_details" not in render.thing(asked, ACACIA)


def test_expansion() -> None:
    known = {thing.key: thing for thing in ALL}
    price = render.thing(things.TIERED, ENDIVE, ["product", "currency_options"], known)
    assert price["product"]["name"] == "Team"
    assert list(price["currency_options"]) == ["usd"]
    subscription = msgspec.structs.replace(things.SUBSCRIPTION, items=(things.item(things.TIERED),))
    paths = ["items.data.price.tiers", "discounts.source.coupon", "customer"]
    rendered = render.thing(subscription, ENDIVE, paths, known)
    assert len(rendered["items"]["data"][0]["price"]["tiers"]) == 2
    assert rendered["discounts"][0]["source"]["coupon"]["percent_off"] == 25.5
    assert rendered["customer"]["email"] == things.CUSTOMER.email
    dispute = render.thing(things.DISPUTE, ENDIVE, ["charge.refunds"], known)
    assert dispute["charge"]["customer"] == things.CUSTOMER.id
    assert dispute["charge"]["refunds"]["data"][0]["amount"] == 45
    invoice = render.thing(things.INVOICE, ENDIVE, ["payments"], known)
    assert invoice["payments"]["data"][0]["payment"]["payment_intent"] == things.INTENT.id
    old = render.thing(things.INTENT, OLD, (), known)
    assert old["charges"]["data"][0]["id"] == old["latest_charge"]


@pytest.mark.parametrize(
    "path", ["status", "nonsense", "items.data.price.nonsense", "collection_method", "a.b.c.d.e"]
)
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(render.NotExpandable, match="expand"):
        render.thing(things.SUBSCRIPTION, ENDIVE, [path])


def overlaid(now: Json, previous: Json) -> Json:
    """The object as it was: a key whose old value is null may not have been there."""
    result = dict(now)
    for key, old in previous.items():
        both = isinstance(old, dict) and isinstance(now.get(key), dict)
        result[key] = overlaid(now[key], old) if both else old
    return result


def settled(value: Any) -> Any:
    """Without null keys: for a metadata key null means that it was not there."""
    if isinstance(value, dict):
        return {key: settled(inner) for key, inner in value.items() if inner is not None}
    return [settled(inner) for inner in value] if isinstance(value, list) else value


def later(item: Item) -> Item:
    return msgspec.structs.replace(
        item, period_start=item.period_end, period_end=item.period_end + things.MONTH
    )


CHANGES: list[tuple[Thing, str, Json]] = [
    (things.CUSTOMER, "customer.updated", {"phone": "+33 1 99 00 11 22"}),
    (things.CUSTOMER, "customer.updated", {"address": None}),
    (
        things.CUSTOMER,
        "customer.updated",
        {"address": Address(line1="1 rue Foch", city="Lyon", country="FR")},
    ),
    (things.CUSTOMER, "customer.updated", {"metadata": {"seats_wanted": "3"}}),
    (things.CUSTOMER, "customer.updated", {"business_name": "Nord Bakery SARL"}),
    (things.CUSTOMER, "customer.updated", {"discount": things.DISCOUNT}),
    (things.CUSTOMER, "customer.updated", {"preferred_locales": ("fr",)}),
    (things.SUBSCRIPTION, "customer.subscription.updated", {"items": (later(things.SUBSCRIPTION.items[0]),)}),
    (things.SUBSCRIPTION, "customer.subscription.updated", {"items": (things.item(things.TIERED, 9),)}),
    (
        things.SUBSCRIPTION,
        "customer.subscription.updated",
        {"items": (things.item(things.FLAT), things.item(things.TIERED))},
    ),
    (things.SUBSCRIPTION, "customer.subscription.updated", {"discounts": ()}),
    (things.SUBSCRIPTION, "customer.subscription.updated", {"pause": Pause("void")}),
    (
        things.SUBSCRIPTION,
        "customer.subscription.updated",
        {"cancel_at_period_end": True, "cancellation": Cancellation("cancellation_requested", "unused")},
    ),
    (
        things.INVOICE,
        "invoice.updated",
        {"status": "open", "paid_at": None, "amount_paid": 0, "charge": None},
    ),
    (things.CHARGE, "charge.refunded", {"refunds": ()}),
    (things.DISPUTE, "charge.dispute.updated", {"status": "won", "funds_withdrawn": False}),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("back", [False, True], ids=["forward", "back"])
@pytest.mark.parametrize(
    ("thing", "type_", "changes"), CHANGES, ids=[f"{c[1]}-{'-'.join(c[2])}" for c in CHANGES]
)
def test_previous_attributes_lead_back_and_tell_no_more(
    thing: Thing, type_: str, changes: Json, back: bool, version: str
) -> None:
    changed = msgspec.structs.replace(thing, **changes)
    before, after = (changed, thing) if back else (thing, changed)
    book = things.book(version)
    book.tell(type_, after, things.AT + 60, before)
    data = json.loads(render.body(book.events[0]))["data"]
    was = render.thing(before, version)
    assert settled(overlaid(data["object"], data["previous_attributes"])) == settled(was)
    assert data["object"] == render.thing(after, version)
    same = [key for key, old in data["previous_attributes"].items() if data["object"].get(key) == old]
    assert not [key for key in same if key in data["object"]]


def test_previous_attributes_have_stripes_shape() -> None:
    book = things.book(ENDIVE)
    book.change(things.CUSTOMER, things.AT, "customer.updated", metadata={"user_id": "10001", "new": "1"})
    moved = msgspec.structs.replace(things.CUSTOMER.address or Address(), line2="Floor 2")
    book.change(things.CUSTOMER, things.AT, "customer.updated", address=moved)
    (item,) = things.SUBSCRIPTION.items
    book.change(things.SUBSCRIPTION, things.AT, "customer.subscription.updated", items=(later(item),))
    told = [render.event(event)["data"]["previous_attributes"] for event in book.events]
    assert told[0] == {"metadata": {"new": None}}
    assert told[1] == {"address": {"line2": None}}
    assert list(told[2]) == ["items"]
    assert list(told[2]["items"]) == ["data"]
    assert told[2]["items"]["data"][0]["current_period_end"] == item.period_end
    assert told[2]["items"]["data"][0]["quantity"] == item.quantity
    book = things.book(OLD)
    book.change(things.SUBSCRIPTION, things.AT, "customer.subscription.updated", items=(later(item),))
    assert render.event(book.events[0])["data"]["previous_attributes"] == {
        "current_period_end": item.period_end,
        "current_period_start": item.period_start,
    }


def test_the_envelope() -> None:
    book = things.book(ACACIA, "acct_1Connected")
    book.called()
    book.add(msgspec.structs.replace(things.CUSTOMER, account="acct_1Connected"), "customer.created")
    book.automatic()
    book.tell("customer.subscription.trial_will_end", things.SUBSCRIPTION, things.AT)
    connected, own = (json.loads(render.body(event)) for event in book.events)
    assert connected["account"] == "acct_1Connected"
    assert connected["api_version"] == ACACIA
    assert connected["request"]["id"].startswith("req_")
    assert 1 <= connected["pending_webhooks"] <= 3
    assert "previous_attributes" not in connected["data"]
    assert "account" not in own
    assert own["request"] == {"id": None, "idempotency_key": None}


def test_live_mode_reaches_every_object_within() -> None:
    book = things.book(OLD)
    book.tell("customer.subscription.updated", things.SUBSCRIPTION, things.AT)
    live = render.body(msgspec.structs.replace(book.events[0], livemode=True))
    assert b'"livemode": true' in live
    assert b'"livemode": false' not in live


def test_whatever_lives_can_be_rendered_and_led_back() -> None:
    world = World(3, 40, mixture=Mixture(connected=0.2))
    assert {event.version for event in world.events} == set(VERSIONS)
    for event in world.events:
        told = json.loads(render.body(event))
        assert told["account" if event.account else "id"] == (event.account or event.id)
        assert told["data"]["object"] == render.thing(event.thing, event.version)
        if event.before is not None:
            previous = told["data"]["previous_attributes"]
            assert previous, f"{event.type} {event.thing.id} changed nothing that is told"
            was = render.thing(event.before, event.version)
            assert settled(overlaid(told["data"]["object"], previous)) == settled(was)
