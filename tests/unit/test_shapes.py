"""One shape from any Stripe version: golden payloads of each object, from 2017 to 2026-10-28.endive."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from stream.stripe import shapes
from stream.stripe.shapes import (
    Address,
    Cancellation,
    Charge,
    CollectionPause,
    Coupon,
    CreditNote,
    Customer,
    Discount,
    Dispute,
    Invoice,
    InvoiceLine,
    Item,
    Option,
    Paused,
    Price,
    Product,
    Refund,
    Subscription,
    Tier,
    TransformQuantity,
)

FIXTURES = Path(__file__).parent / "fixtures" / "stripe"
PAYLOADS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(FIXTURES.glob("*.json"))
}

PRICE = Price(
    "price_team", "usd", product="prod_team", unit_amount="1250", interval="month", nickname="Team",
    metadata={"tier": "gold"},
)  # fmt: skip
PRICE_2017 = replace(PRICE, product=None)
HALF = Coupon("HALF", duration="repeating", duration_in_months=3, percent_off="50.0", name="Half price")
DISCOUNT = Discount(
    "di_1", coupon="HALF", start=1700000000, end=1707948800, customer="cus_1", subscription="sub_1"
)
ITEM = Item("si_1", PRICE, quantity=3, period_start=1700000000, period_end=1702592000)
SUBSCRIPTION = Subscription(
    id="sub_1",
    status="active",
    customer="cus_1",
    currency="usd",
    items=(ITEM,),
    discounts=(Discount("di_1"),),
    created=1700000000,
    start_date=1700000000,
    billing_cycle_anchor=1700000000,
    latest_invoice="in_1",
    collection_method="charge_automatically",
    metadata={"crm": "77"},
)
LINE = InvoiceLine(
    "il_1", 3750, currency="usd", description="3 × Team", quantity=3, price="price_team", product="prod_team",
    unit_amount="1250", subscription="sub_1", subscription_item="si_1", period_start=1700000000,
    period_end=1702592000,
)  # fmt: skip
INVOICE = Invoice(
    currency="usd",
    id="in_1",
    status="paid",
    customer="cus_1",
    subscription="sub_1",
    number="A-0001",
    billing_reason="subscription_cycle",
    collection_method="charge_automatically",
    amount_due=4000,
    amount_paid=4000,
    subtotal=3750,
    total=4000,
    tax=250,
    post_payment_credit=500,
    attempt_count=1,
    created=1702592000,
    period_start=1700000000,
    period_end=1702592000,
    finalized_at=1702592100,
    paid_at=1702592200,
    hosted_url="https://invoice.stripe.com/i/1",
    pdf="https://pay.stripe.com/invoice/1/pdf",
    lines=(LINE,),
)
REFUND = Refund(
    "re_1", 1000, "usd", charge="ch_1", payment_intent="pi_1", reason="requested_by_customer",
    created=1702700000,
)  # fmt: skip
CHARGE = Charge(
    id="ch_1",
    amount=4000,
    currency="usd",
    status="succeeded",
    customer="cus_1",
    paid=True,
    amount_captured=4000,
    amount_refunded=1000,
    payment_intent="pi_1",
    seller_message="Payment complete.",
    brand="visa",
    last4="4242",
    description="Subscription",
    receipt_url="https://pay.stripe.com/receipts/1",
    created=1702592150,
)
DISPUTE = Dispute(
    "dp_1", "ch_1", 3000, "usd", "needs_response", reason="fraudulent", payment_intent="pi_1",
    due_by=1703700000, created=1703000000,
)  # fmt: skip
CREDIT_NOTE = CreditNote(
    "cn_1", "in_1", "usd", "issued", 500, customer="cus_1", number="A-0001-CN-01", type="post_payment",
    post_payment=500, refunds=("re_1",), reason="order_change", created=1703100000,
    pdf="https://pay.stripe.com/credit_notes/1/pdf",
)  # fmt: skip
CUSTOMER = Customer(
    "cus_1", name="Ada Lovelace", email="ada@engines.example", currency="usd", delinquent=False
)
TIERS = (Tier(5, "0", "9000"), Tier(None, "1125.5"))

GOLDEN: dict[tuple[str, str], Any] = {
    ("customer", "2017-08-15"): replace(
        CUSTOMER, name=None, discount=replace(DISCOUNT, id="", embedded=HALF)
    ),
    ("customer", "2020-08-27"): replace(CUSTOMER, discount=replace(DISCOUNT, embedded=HALF)),
    ("customer", "2025-03-31.basil"): replace(CUSTOMER, address=Address(line1="1 Main St", country="GB")),
    ("customer", "2025-09-30.clover"): replace(CUSTOMER, discount=DISCOUNT),
    ("customer", "2026-10-28.endive"): replace(CUSTOMER, business_name="Engines Ltd"),
    ("subscription", "2017-08-15"): replace(
        SUBSCRIPTION,
        items=(replace(ITEM, price=PRICE_2017),),
        discounts=(replace(DISCOUNT, id="", embedded=HALF),),
        latest_invoice=None,
    ),
    ("subscription", "2020-08-27"): replace(SUBSCRIPTION, discounts=(replace(DISCOUNT, embedded=HALF),)),
    ("subscription", "2024-09-30.acacia"): replace(
        SUBSCRIPTION, discounts=(replace(DISCOUNT, embedded=HALF),)
    ),
    ("subscription", "2025-03-31.basil"): SUBSCRIPTION,
    ("subscription", "2025-09-30.clover"): replace(SUBSCRIPTION, discounts=(DISCOUNT,)),
    ("subscription", "2026-03-25.dahlia"): SUBSCRIPTION,
    ("subscription", "2026-10-28.endive"): replace(
        SUBSCRIPTION,
        status="paused",
        items=(
            replace(ITEM, discounts=(Discount("di_2"),), trial_start=1700000000, trial_end=1701200000),
        ),
        more_items=True,
        cancel_at_period_end=True,
        canceled_at=1700400000,
        cancellation=Cancellation("cancellation_requested", "too_expensive", "too dear"),
        pause_collection=CollectionPause("void", 1701000000),
        paused=Paused("final_payment_failure", 1700500000),
        schedule="sub_sched_1",
    ),
    ("invoice", "2017-08-15"): replace(
        INVOICE,
        post_payment_credit=0,
        finalized_at=None,
        paid_at=None,
        charges=("ch_1",),
        lines=(replace(LINE, id="sub_1", product=None),),
    ),
    ("invoice", "2020-08-27"): replace(INVOICE, charges=("ch_1",), payment_intents=("pi_1",)),
    ("invoice", "2024-09-30.acacia"): replace(INVOICE, charges=("ch_1",), payment_intents=("pi_1",)),
    ("invoice", "2025-03-31.basil"): INVOICE,
    ("invoice", "2025-12-15.clover"): replace(INVOICE, payment_intents=("pi_1",)),
    ("invoice", "2026-10-28.endive"): replace(
        INVOICE, charges=("ch_1",), amount_off_stripe=4000, more_lines=True
    ),
    ("charge", "2017-08-15"): replace(
        CHARGE,
        invoice="in_1",
        payment_intent=None,
        brand="Visa",
        receipt_url=None,
        refunds=(replace(REFUND, payment_intent=None),),
    ),
    ("charge", "2020-08-27"): replace(CHARGE, invoice="in_1", refunds=(REFUND,)),
    ("charge", "2024-09-30.acacia"): replace(CHARGE, invoice="in_1"),
    ("charge", "2025-03-31.basil"): CHARGE,
    ("charge", "2026-10-28.endive"): replace(
        CHARGE,
        status="failed",
        paid=False,
        amount_captured=0,
        amount_refunded=0,
        failure_code="card_declined",
        failure_message="Your card has insufficient funds.",
        decline="insufficient_funds",
        seller_message="The bank returned the decline code `insufficient_funds`.",
    ),
    ("refund", "2017-08-15"): replace(REFUND, payment_intent=None),
    ("refund", "2020-08-27"): REFUND,
    ("refund", "2026-10-28.endive"): replace(
        REFUND, customer="cus_1", status="failed", failure_reason="expired_or_canceled_card"
    ),
    ("dispute", "2017-08-15"): replace(DISPUTE, payment_intent=None),
    ("dispute", "2020-08-27"): DISPUTE,
    ("dispute", "2026-10-28.endive"): replace(DISPUTE, status="prevented"),
    ("credit_note", "2020-08-27"): CREDIT_NOTE,
    ("credit_note", "2025-03-31.basil"): replace(CREDIT_NOTE, type="mixed", total=800, pre_payment=300),
    ("credit_note", "2026-10-28.endive"): replace(CREDIT_NOTE, status="void", voided_at=1703200000),
    ("discount", "2017-08-15"): replace(DISCOUNT, id="", embedded=HALF),
    ("discount", "2020-08-27"): replace(DISCOUNT, embedded=HALF),
    ("discount", "2025-03-31.basil"): replace(DISCOUNT, embedded=HALF, promotion_code="promo_1"),
    ("discount", "2025-09-30.clover"): DISCOUNT,
    ("discount", "2026-10-28.endive"): replace(DISCOUNT, embedded=replace(HALF, applies_to=("prod_team",))),
    ("coupon", "2017-08-15"): replace(HALF, percent_off="50", name=None),
    ("coupon", "2020-08-27"): HALF,
    ("coupon", "2026-10-28.endive"): replace(
        HALF, percent_off=None, amount_off={"usd": 500, "eur": 450}, applies_to=("prod_team",)
    ),
    ("price", "2017-08-15 (plan)"): PRICE_2017,
    ("price", "2018-09-24 (plan)"): replace(
        PRICE,
        unit_amount=None,
        billing_scheme="tiered",
        tiers_mode="graduated",
        tiers=(Tier(5, "0", "9000"), Tier(None, "1125")),
    ),
    ("price", "2020-08-27"): PRICE,
    ("price", "2025-03-31.basil"): replace(
        PRICE,
        unit_amount="0.25",
        interval="year",
        interval_count=2,
        usage_type="metered",
        transform_quantity=TransformQuantity(1000, "down"),
        lookup_key="api-calls",
    ),
    ("price", "2026-10-28.endive"): replace(
        PRICE,
        unit_amount=None,
        billing_scheme="tiered",
        tiers_mode="graduated",
        tiers=TIERS,
        options={"jpy": Option("1900")},
    ),
    ("product", "2017-08-15"): Product("prod_team", name="Team"),
    ("product", "2026-10-28.endive"): Product(
        "prod_team", name="Team", description="For teams", unit_label="seat", active=False,
        metadata={"tier": "gold"},
    ),
}  # fmt: skip

PARSE: dict[str, Callable[[bytes], Any]] = {name: getattr(shapes, name) for name in PAYLOADS}


def test_every_payload_has_its_golden_shape() -> None:
    assert {(name, version) for name, versions in PAYLOADS.items() for version in versions} == set(GOLDEN)


@pytest.mark.parametrize(("name", "version"), sorted(GOLDEN))
def test_any_version_has_the_one_shape(name: str, version: str) -> None:
    assert PARSE[name](msgspec.json.encode(PAYLOADS[name][version])) == GOLDEN[name, version]


@pytest.mark.parametrize(("name", "version"), sorted(GOLDEN))
def test_a_shape_survives_being_stored(name: str, version: str) -> None:
    shape = GOLDEN[name, version]
    assert msgspec.json.decode(msgspec.json.encode(shape), type=type(shape)) == shape


@pytest.mark.parametrize(("name", "version"), sorted(GOLDEN))
def test_what_is_not_known_yet_passes(name: str, version: str) -> None:
    def later(value: Any) -> Any:
        if isinstance(value, list):
            return [later(v) for v in value]
        if not isinstance(value, dict) or not value:
            return value
        told = {key: inner if key in ("metadata", "currency_options") else later(inner)
                for key, inner in value.items()}  # fmt: skip
        return {**told, "from_the_future": {"type": ["new"]}}

    assert PARSE[name](msgspec.json.encode(later(PAYLOADS[name][version]))) == GOLDEN[name, version]


def changed(name: str, version: str, path: tuple[str | int, ...], value: Any = msgspec.UNSET) -> bytes:
    """A payload with one field replaced, or taken away."""
    payload = json.loads(json.dumps(PAYLOADS[name][version]))
    inner = payload
    for step in path[:-1]:
        inner = inner[step]
    if value is msgspec.UNSET:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return msgspec.json.encode(payload)


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("subscription", ("status",), "resting"),
        ("subscription", ("collection_method",), "send_pigeon"),
        ("subscription", ("items", "data", 0, "price", "recurring", "interval"), "decade"),
        ("subscription", ("status_details", "paused", "subscription", "type"), "moon"),
        ("subscription", ("pause_collection", "behavior"), "shred"),
        ("invoice", ("status",), "framed"),
        ("invoice", ("billing_reason",), "whim"),
        ("charge", ("status",), "pondered"),
        ("refund", ("status",), "wandering"),
        ("dispute", ("status",), "settled_by_duel"),
        ("coupon", ("duration",), "eternal"),
        ("price", ("tiers_mode",), "spiral"),
    ],
)
def test_an_unknown_value_of_an_enum_passes(name: str, path: tuple[str | int, ...], value: str) -> None:
    assert value.encode() in msgspec.json.encode(PARSE[name](changed(name, "2026-10-28.endive", path, value)))


@pytest.mark.parametrize(
    ("name", "version", "path", "where"),
    [
        ("customer", "2020-08-27", ("id",), "field `id`"),
        ("subscription", "2026-10-28.endive", ("status",), "field `status`"),
        ("subscription", "2025-09-30.clover", ("items", "data", 0, "price", "id"), "$.items.data[0].price"),
        ("subscription", "2017-08-15", ("items", "data", 0, "plan"), "`price` - at `$.items.data[0]`"),
        (
            "subscription",
            "2017-08-15",
            ("items", "data", 0, "plan", "id"),
            "field `id` - at `$.items.data[0].plan`",
        ),
        ("invoice", "2020-08-27", ("currency",), "field `currency`"),
        ("invoice", "2025-03-31.basil", ("lines", "data", 0, "amount"), "at `$.lines.data[0]`"),
        ("charge", "2020-08-27", ("amount",), "field `amount`"),
        ("refund", "2020-08-27", ("currency",), "field `currency`"),
        ("dispute", "2020-08-27", ("charge",), "field `charge`"),
        ("credit_note", "2020-08-27", ("invoice",), "field `invoice`"),
        ("coupon", "2020-08-27", ("id",), "field `id`"),
        ("price", "2020-08-27", ("currency",), "field `currency`"),
        ("product", "2017-08-15", ("id",), "field `id`"),
    ],
)
def test_a_missing_needed_field_is_named(
    name: str, version: str, path: tuple[str | int, ...], where: str
) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        PARSE[name](changed(name, version, path))
    assert where in str(raised.value)


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("items", "data", 0, "price", "unit_amount_decimal"), "1e9999999", "unit_amount_decimal"),
        (("items", "data", 0, "price", "unit_amount_decimal"), "9" * 500, "unit_amount_decimal"),
        (("items", "data", 0, "price", "recurring", "interval_count"), 0, "interval_count"),
        (("items", "data", 0, "quantity"), -1, "quantity"),
        (("items", "data", 0, "price", "transform_quantity"), {"divide_by": 0}, "divide_by"),
        (("items",), "si_1", "$.items"),
    ],
)
def test_what_cannot_be_priced_is_refused_where_it_stands(
    path: tuple[str | int, ...], value: Any, where: str
) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        shapes.subscription(changed("subscription", "2025-09-30.clover", path, value))
    assert where in str(raised.value)


def test_before_there_were_items_the_plan_was_at_the_top() -> None:
    shape = shapes.subscription(changed("subscription", "2017-08-15", ("items",)))
    assert [(item.id, item.price, item.quantity) for item in shape.items] == [("sub_1", PRICE_2017, 3)]
    assert shape.period_end == 1702592000


@pytest.mark.parametrize(
    ("paid", "forgiven", "closed", "attempted", "status"),
    [
        (True, False, True, True, "paid"),
        (False, True, True, True, "uncollectible"),
        (False, False, True, True, "void"),
        (False, False, False, True, "open"),
        (False, False, False, False, "draft"),
    ],
)
def test_an_invoice_of_2017_gets_the_status_of_today(
    paid: bool, forgiven: bool, closed: bool, attempted: bool, status: str
) -> None:
    old = PAYLOADS["invoice"]["2017-08-15"]
    now = {**old, "paid": paid, "forgiven": forgiven, "closed": closed, "attempted": attempted}
    shape = shapes.invoice(msgspec.json.encode(now))
    assert (shape.status, shape.amount_paid) == (status, 4000 if paid else 0)


def test_a_foretold_invoice_has_no_id() -> None:
    assert shapes.invoice(changed("invoice", "2025-03-31.basil", ("id",))).id == ""


def test_an_invoice_of_loose_items_is_of_no_subscription() -> None:
    parent = {"type": "quote_details", "quote_details": {"quote": "qt_1"}, "subscription_details": None}
    shape = shapes.invoice(changed("invoice", "2025-03-31.basil", ("parent",), parent))
    assert shape.subscription is None


def test_a_price_that_is_fetched_brings_its_product() -> None:
    body = msgspec.json.encode(PAYLOADS["price"]["2026-10-28.endive"])
    assert shapes.product_of(body) == Product("prod_team", name="Team")
    assert shapes.product_of(msgspec.json.encode(PAYLOADS["price"]["2020-08-27"])) is None


def test_a_page_of_items_is_as_the_subscription_has_them() -> None:
    listed = msgspec.json.encode(PAYLOADS["subscription"]["2025-03-31.basil"]["items"])
    assert shapes.items(listed) == (ITEM,)


def test_an_early_fraud_warning_names_its_charge() -> None:
    warning = {"id": "issfr_1", "actionable": True, "charge": {"id": "ch_1"}, "fraud_type": "misc"}
    assert shapes.fraud_warning(msgspec.json.encode(warning)) == shapes.FraudWarning(
        "issfr_1", "ch_1", fraud_type="misc", actionable=True
    )


def test_what_was_before_basil_is_at_the_item_since() -> None:
    payload = PAYLOADS["subscription"]["2025-03-31.basil"]
    items = [{**payload["items"]["data"][0], "quantity": 2}]
    prior = shapes.before(msgspec.json.encode(payload), {"items": {"data": items}, "status": "trialing"})
    shape = shapes.subscription(prior)
    assert (shape.status, shape.items[0].quantity) == ("trialing", 2)


def test_when_it_ends_as_scheduled() -> None:
    assert SUBSCRIPTION.ends_at is None
    assert replace(SUBSCRIPTION, cancel_at_period_end=True).ends_at == 1702592000
    assert replace(SUBSCRIPTION, cancel_at=5).ends_at == 5
    later = replace(ITEM, period_start=1700000000, period_end=1731536000)
    mixed = replace(SUBSCRIPTION, items=(later, ITEM), cancel_at_period_end=True)
    assert (mixed.period_end, mixed.ends_at) == (1702592000, 1731536000)
