"""One of each thing, to render."""

from __future__ import annotations

import random
from collections.abc import Callable

from stream.sandbox.stripe.book import Book, StripeEvent
from stream.sandbox.stripe.objects import (
    Address,
    Charge,
    Coupon,
    CreditNote,
    Customer,
    Discount,
    Dispute,
    FraudWarning,
    Invoice,
    InvoicePayment,
    Item,
    Line,
    PaymentIntent,
    PaymentMethod,
    Price,
    Product,
    Refund,
    Subscription,
    Thing,
    Tier,
)

OLD, ACACIA, ENDIVE = "2020-08-27", "2024-09-30.acacia", "2026-09-30.endive"
VERSIONS = (OLD, ACACIA, ENDIVE)
AT = 1_790_000_000
MONTH = 30 * 86_400

PRODUCT = Product(id="prod_Team0000000001", created=AT, updated=AT, name="Team", unit_label="seat")
FLAT = Price(
    id="price_1Flat00000000000000000000",
    created=AT,
    product=PRODUCT.id,
    currency="usd",
    unit_amount="499.5",
    interval="month",
    divide_by=1000,
)
TIERED = Price(
    id="price_1Tiers0000000000000000000",
    created=AT + 1,
    product=PRODUCT.id,
    currency="usd",
    unit_amount=None,
    interval="month",
    tiers_mode="graduated",
    tiers=(Tier(5, "0", "9000"), Tier(None, "1125.5", None)),
)
COUPON = Coupon(id="Z4OV52SU", created=AT, name="25.5% off", duration="forever", percent_off=25.5)
CUSTOMER = Customer(
    id="cus_Zoe00000000001",
    created=AT,
    name="Zoé Lefèvre",
    email="zoe@nord-bakery.example",
    address=Address(line1="12 rue de l'Église", city="Paris", postal_code="75002", country="FR"),
    metadata={"user_id": "10001"},
)
DISCOUNT = Discount(id="di_1Half0000000000000000000", created=AT + 5, coupon=COUPON, customer=CUSTOMER.id)
CARD = PaymentMethod(
    id="pm_1Card0000000000000000000",
    created=AT,
    customer=CUSTOMER.id,
    brand="visa",
    last4="4242",
    exp_month=4,
    exp_year=2029,
    country="FR",
    fingerprint="AOB934RVNwzk6xtn",
)


def item(price: Price, quantity: int | None = 3, start: int = AT) -> Item:
    return Item(
        id=f"si_{price.id[-14:]}",
        created=AT,
        price=price,
        quantity=quantity,
        period_start=start,
        period_end=start + MONTH,
    )


SUBSCRIPTION = Subscription(
    id="sub_1Zoe00000000000000000000",
    created=AT,
    customer=CUSTOMER.id,
    status="active",
    currency="usd",
    items=(item(FLAT),),
    billing_cycle_anchor=AT,
    discounts=(DISCOUNT,),
    latest_invoice="in_1Zoe00000000000000000000",
)
LINE = Line(
    id="il_1Zoe00000000000000000000",
    amount=1000,
    description="3 × Team",
    price=FLAT,
    item=SUBSCRIPTION.items[0].id,
    quantity=3,
    start=AT,
    end=AT + MONTH,
    discounts=((DISCOUNT.id, 255),),
)
CREDIT = Line(
    id="il_1Credit00000000000000000",
    amount=-100,
    description="Unused time on 3 × Team",
    price=FLAT,
    item=SUBSCRIPTION.items[0].id,
    quantity=3,
    start=AT,
    end=AT + MONTH,
    proration=True,
)
INVOICE = Invoice(
    id="in_1Zoe00000000000000000000",
    created=AT,
    customer=CUSTOMER.id,
    subscription=SUBSCRIPTION.id,
    currency="usd",
    billing_reason="subscription_update",
    lines=(LINE, CREDIT),
    discounts=(DISCOUNT,),
    period_start=AT,
    period_end=AT + MONTH,
    customer_name=CUSTOMER.name,
    customer_email=CUSTOMER.email,
    customer_phone=None,
    customer_address=CUSTOMER.address,
    status="paid",
    number="RS-00001001",
    token="t" * 40,
    attempt_count=1,
    amount_paid=645,
    finalized_at=AT + 1,
    paid_at=AT + 2,
    payment_intent="pi_3Zoe00000000000000000000",
    charge="ch_3Zoe00000000000000000000",
)
INTENT = PaymentIntent(
    id="pi_3Zoe00000000000000000000",
    created=AT + 1,
    customer=CUSTOMER.id,
    invoice=INVOICE.id,
    amount=645,
    currency="usd",
    payment_method=CARD.id,
    secret="pi_3Zoe00000000000000000000_secret_x",
    status="succeeded",
    latest_charge="ch_3Zoe00000000000000000000",
)
REFUND = Refund(
    id="re_3Zoe00000000000000000000",
    created=AT + 9,
    charge="ch_3Zoe00000000000000000000",
    payment_intent=INTENT.id,
    customer=CUSTOMER.id,
    amount=45,
    currency="usd",
)
CHARGE = Charge(
    id="ch_3Zoe00000000000000000000",
    created=AT + 2,
    customer=CUSTOMER.id,
    invoice=INVOICE.id,
    payment_intent=INTENT.id,
    payment_method=CARD,
    amount=645,
    currency="usd",
    name=CUSTOMER.name,
    email=CUSTOMER.email,
    phone=None,
    address=CUSTOMER.address,
    refunds=(REFUND,),
    dispute="du_1Zoe00000000000000000000",
)
DISPUTE = Dispute(
    id="du_1Zoe00000000000000000000",
    created=AT + 20,
    charge=CHARGE.id,
    payment_intent=INTENT.id,
    amount=600,
    currency="usd",
    reason="fraudulent",
    due_by=AT + 9 * 86_400,
)
NOTE = CreditNote(
    id="cn_1Zoe00000000000000000000",
    created=AT + 12,
    invoice=INVOICE.id,
    customer=CUSTOMER.id,
    currency="usd",
    number="RS-00001001-CN-01",
    amount=45,
    post_payment=45,
    refund=REFUND.id,
)
WARNING = FraudWarning(
    id="issfr_1Zoe0000000000000000",
    created=AT + 15,
    charge=CHARGE.id,
    payment_intent=INTENT.id,
    kind="made_with_stolen_card",
)
PAYMENT = InvoicePayment(
    id="inpay_1Zoe00000000000000000",
    created=AT + 1,
    invoice=INVOICE.id,
    payment_intent=INTENT.id,
    amount=645,
    currency="usd",
    paid_at=AT + 2,
)

ALL: tuple[Thing, ...] = (
    PRODUCT, FLAT, TIERED, COUPON, CUSTOMER, DISCOUNT, CARD, SUBSCRIPTION, INVOICE, INTENT, REFUND, CHARGE,
    DISPUTE, NOTE, WARNING, PAYMENT,
)  # fmt: skip


class World:
    """Things by their key, and the events told of them."""

    def __init__(self, things: tuple[Thing, ...] = ALL, events: tuple[StripeEvent, ...] = ()) -> None:
        self.things = {thing.key: thing for thing in things}
        self.events = list(events)


def book(version: str, account: str | None = None) -> Book:
    at: Callable[[int], str] = lambda _: version  # noqa: E731
    return Book(random.Random(7), account, at)
