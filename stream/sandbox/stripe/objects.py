"""What is true in the simulated Stripe, free of any API version. The renderers turn it into Stripe's JSON.

Amounts are integers in the currency's minor unit, as Stripe has them; times are epoch seconds. A thing that
changes is replaced, never altered.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Interval = Literal["day", "week", "month", "year"]
PauseBehavior = Literal["keep_as_draft", "mark_uncollectible", "void"]


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    """Anything with an ID. `account` is the connected account it belongs to, None for one's own."""

    id: str
    created: int
    account: str | None = None

    @property
    def key(self) -> str:
        """The ID, made unique over accounts: `acct_…/cus_…`."""
        return key_of(self.account, self.id)


def key_of(account: str | None, id_: str) -> str:
    """The key of an ID: IDs are unique within one account only."""
    return f"{account}/{id_}" if account else id_


class Address(msgspec.Struct, frozen=True, gc=False):
    """A postal address; `country` is two letters."""

    line1: str | None = None
    line2: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None


class Tier(msgspec.Struct, frozen=True, gc=False):
    """One tier of a price; `up_to` is inclusive, None is without end. Amounts are decimal text."""

    up_to: int | None
    unit_amount: str | None
    flat_amount: str | None = None


class Product(Thing, frozen=True, kw_only=True):
    """What is sold."""

    name: str
    updated: int
    default_price: str | None = None
    description: str | None = None
    unit_label: str | None = None
    active: bool = True
    metadata: dict[str, str] = {}


class Price(Thing, frozen=True, kw_only=True):
    """How a product is charged for. `unit_amount` is decimal text in minor units, None for tiers.

    `divide_by` is `transform_quantity`, always rounded up here.
    """

    product: str
    currency: str
    unit_amount: str | None
    interval: Interval
    interval_count: int = 1
    usage_type: Literal["licensed", "metered"] = "licensed"
    tiers_mode: Literal["graduated", "volume"] | None = None
    tiers: tuple[Tier, ...] = ()
    divide_by: int | None = None
    meter: str | None = None
    nickname: str | None = None
    lookup_key: str | None = None
    active: bool = True
    metadata: dict[str, str] = {}

    @property
    def billing_scheme(self) -> str:
        """Stripe's word for whether there are tiers."""
        return "tiered" if self.tiers_mode else "per_unit"


class Coupon(Thing, frozen=True, kw_only=True):
    """A rebate that can be redeemed."""

    name: str
    duration: Literal["once", "repeating", "forever"]
    percent_off: float | None = None
    amount_off: int | None = None
    currency: str | None = None
    duration_in_months: int | None = None
    deleted: bool = False
    metadata: dict[str, str] = {}


class Discount(Thing, frozen=True, kw_only=True):
    """A coupon redeemed, for a customer or for one subscription. `created` is Stripe's `start`."""

    coupon: Coupon
    customer: str
    subscription: str | None = None
    end: int | None = None


class Customer(Thing, frozen=True, kw_only=True):
    """Who pays."""

    name: str | None = None
    business_name: str | None = None
    email: str | None = None
    phone: str | None = None
    address: Address | None = None
    currency: str | None = None
    delinquent: bool = False
    deleted: bool = False
    description: str | None = None
    default_payment_method: str | None = None
    discount: Discount | None = None
    invoice_prefix: str = "A0000000"
    preferred_locales: tuple[str, ...] = ()
    metadata: dict[str, str] = {}


class PaymentMethod(Thing, frozen=True, kw_only=True):
    """A card that a customer keeps with the company."""

    customer: str | None
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    country: str
    fingerprint: str


class Item(msgspec.Struct, frozen=True):
    """One line of a subscription; the quantity of a metered price is None."""

    id: str
    created: int
    price: Price
    quantity: int | None
    period_start: int
    period_end: int
    metadata: dict[str, str] = {}
    # A trial of this item alone; both are None once it is over.
    trial_start: int | None = None
    trial_end: int | None = None


class Cancellation(msgspec.Struct, frozen=True, gc=False):
    """`cancellation_details`."""

    reason: str | None = None
    feedback: str | None = None
    comment: str | None = None


class Pause(msgspec.Struct, frozen=True, gc=False):
    """`pause_collection`."""

    behavior: PauseBehavior
    resumes_at: int | None = None


class Subscription(Thing, frozen=True, kw_only=True):
    """What a customer has subscribed to."""

    customer: str
    status: str
    currency: str
    items: tuple[Item, ...]
    billing_cycle_anchor: int
    trial_start: int | None = None
    trial_end: int | None = None
    cancel_at: int | None = None
    cancel_at_period_end: bool = False
    canceled_at: int | None = None
    ended_at: int | None = None
    cancellation: Cancellation = Cancellation()
    pause: Pause | None = None
    paused_at: int | None = None
    discounts: tuple[Discount, ...] = ()
    latest_invoice: str | None = None
    default_payment_method: str | None = None
    # Its invoices are sent, to be paid within so many days; None: they are charged.
    days_until_due: int | None = None
    missing_payment_method: str = "create_invoice"
    metadata: dict[str, str] = {}

    @property
    def period_start(self) -> int:
        """The current period's start. Items that were added later, in another rhythm, have periods of their own."""
        return self.items[0].period_start

    @property
    def period_end(self) -> int:
        """The current period's end."""
        return self.items[0].period_end


class Line(msgspec.Struct, frozen=True):
    """One line of an invoice; `discounts` are (discount ID, amount)."""

    id: str
    amount: int
    description: str
    price: Price
    item: str
    quantity: int | None
    start: int
    end: int
    proration: bool = False
    discounts: tuple[tuple[str, int], ...] = ()


class Invoice(Thing, frozen=True, kw_only=True):
    """A bill. `id` is empty for one that is only foretold (`invoice.upcoming`)."""

    customer: str
    subscription: str
    currency: str
    billing_reason: str
    lines: tuple[Line, ...]
    discounts: tuple[Discount, ...]
    period_start: int
    period_end: int
    # As the customer was when it was made: an invoice is a document.
    customer_name: str | None
    customer_email: str | None
    customer_phone: str | None
    customer_address: Address | None
    status: str = "draft"
    number: str | None = None
    token: str | None = None
    auto_advance: bool = True
    attempt_count: int = 0
    next_payment_attempt: int | None = None
    amount_paid: int = 0
    # Of that, what came by cheque or transfer.
    off_stripe: int = 0
    # What credit notes took off before it was paid, and after.
    credited_before: int = 0
    credited_after: int = 0
    days_until_due: int | None = None
    due_date: int | None = None
    finalized_at: int | None = None
    paid_at: int | None = None
    voided_at: int | None = None
    uncollectible_at: int | None = None
    payment_intent: str | None = None
    charge: str | None = None

    @property
    def subtotal(self) -> int:
        """The sum of the lines before discounts."""
        return sum(line.amount for line in self.lines)

    @property
    def total(self) -> int:
        """The sum of the lines after discounts."""
        return self.subtotal - sum(amount for line in self.lines for _, amount in line.discounts)

    @property
    def amount_due(self) -> int:
        """What is to be paid: a credit is never paid out."""
        return max(self.total - self.credited_before, 0)


class PaymentIntent(Thing, frozen=True, kw_only=True):
    """An intent to collect a payment; of a guest, without customer and invoice."""

    customer: str | None
    invoice: str | None
    amount: int
    currency: str
    payment_method: str | None
    secret: str
    status: str = "requires_payment_method"
    # How much of a hold was captured in the end; None where all is taken at once.
    captured: int | None = None
    latest_charge: str | None = None
    decline_code: str | None = None


class Refund(Thing, frozen=True, kw_only=True):
    """Money given back."""

    charge: str
    payment_intent: str | None
    customer: str | None
    amount: int
    currency: str
    reason: str | None = None
    status: str = "succeeded"
    # Of what was authorised and never captured: no money comes back by it.
    reversal: bool = False


class Charge(Thing, frozen=True, kw_only=True):
    """One attempt to take money from a card. `amount_captured` is None where all is captured at once."""

    customer: str | None
    invoice: str | None
    payment_intent: str
    payment_method: PaymentMethod
    amount: int
    currency: str
    name: str | None
    email: str | None
    phone: str | None
    address: Address | None
    status: str = "succeeded"
    decline_code: str | None = None
    amount_captured: int | None = None
    refunds: tuple[Refund, ...] = ()
    dispute: str | None = None

    @property
    def amount_refunded(self) -> int:
        """The sum of the refunds."""
        return sum(refund.amount for refund in self.refunds)

    @property
    def taken(self) -> int:
        """What was really taken."""
        if self.status != "succeeded":
            return 0
        return self.amount if self.amount_captured is None else self.amount_captured

    @property
    def given_back(self) -> int:
        """What came back of that."""
        return sum(refund.amount for refund in self.refunds if not refund.reversal)

    @property
    def left(self) -> int:
        """What can still be given back or contested."""
        return self.taken - self.given_back


class Dispute(Thing, frozen=True, kw_only=True):
    """A charge that the card's holder contests."""

    charge: str
    payment_intent: str
    amount: int
    currency: str
    reason: str
    due_by: int
    status: str = "needs_response"
    funds_withdrawn: bool = True


class FraudWarning(Thing, frozen=True, kw_only=True):
    """A charge that the bank of the card's holder takes for fraud; `actionable` while a refund can still help."""

    charge: str
    payment_intent: str
    kind: str
    actionable: bool = True


class CreditNote(Thing, frozen=True, kw_only=True):
    """What an invoice is lessened by: before it was paid, or after, by a refund or outside of Stripe."""

    invoice: str
    customer: str
    currency: str
    number: str
    amount: int
    pre_payment: int = 0
    post_payment: int = 0
    out_of_band: int = 0
    refund: str | None = None
    reason: str | None = None
    status: str = "issued"
    voided_at: int | None = None


class InvoicePayment(Thing, frozen=True, kw_only=True):
    """The link between an invoice and its payment, told since 2025-03-31.basil."""

    invoice: str
    payment_intent: str
    amount: int
    currency: str
    paid_at: int
