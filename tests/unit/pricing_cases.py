"""The rules of pricing, each with cases worked by hand. docs/reference/pricing.md is written from them.

`by_hand` is the arithmetic of a person, who did not run the code; `mrr` is in units of the currency, as a
fraction where it does not end.
"""

from __future__ import annotations

from fractions import Fraction

import msgspec
from msgspec.structs import replace

from agents.pricing import NET, STRIPE, Profile
from stream.stripe.catalogue import Entries, Entry
from stream.stripe.shapes import (
    CollectionPause,
    Coupon,
    Discount,
    Item,
    Option,
    Price,
    Subscription,
    Tier,
    TransformQuantity,
)

DAY = 24 * 3600
AT = 1_767_225_600  # 2026-01-01


class Case(msgspec.Struct, frozen=True):
    """A subscription, what is fetched of the catalogue, and what it brings a month at `at`."""

    title: str
    subscription: Subscription
    by_hand: str
    mrr: Fraction
    profile: Profile = STRIPE
    known: dict[str, Entry] = {}
    at: int = AT
    customer_discount: Discount | None = None

    @property
    def lookup(self) -> Entries:
        """The catalogue, as far as it is fetched."""
        return Entries(self.known)


class Rule(msgspec.Struct, frozen=True):
    """A rule, in words, and its cases."""

    title: str
    says: str
    cases: tuple[Case, ...]


def price(amount: str | None, interval: str | None = "month", count: int = 1, **facts: object) -> Price:
    """A price in USD, unless `facts` say otherwise."""
    told = Price(
        "price_1", "usd", product="prod_1", unit_amount=amount, interval=interval, interval_count=count
    )
    return replace(told, **facts)


def item(of: Price, quantity: int | None = 1, **facts: object) -> Item:
    """One item of a price."""
    end = AT + 10 * DAY
    return replace(Item("si_1", of, quantity, period_start=end - 30 * DAY, period_end=end), **facts)


def sub(*items: Item, **facts: object) -> Subscription:
    """An active subscription in the first item's currency, unless `facts` say otherwise."""
    told = Subscription("sub_1", "active", "cus_1", items[0].price.currency, items)
    return replace(told, **facts)


def fetched(*things: Price | Coupon) -> dict[str, Entry]:
    """A catalogue of prices and coupons."""
    return {
        thing.id: Entry(AT, price=thing) if isinstance(thing, Price) else Entry(AT, coupon=thing)
        for thing in things
    }


def redeemed(coupon: str, end: int | None = None) -> tuple[Discount, ...]:
    """A discount, as a subscription holds it."""
    return (Discount(f"di_{coupon}", coupon=coupon, start=AT - 5 * DAY, end=end),)


FOREVER = Coupon("QUARTER", "forever", percent_off="25", applies_to=())
HALF = Coupon("HALF", "repeating", duration_in_months=3, percent_off="50", applies_to=())
WELCOME = Coupon("WELCOME", "once", percent_off="20", applies_to=())
FIVE = Coupon("FIVE", "forever", amount_off={"usd": 500}, applies_to=())
ONE_PRODUCT = Coupon("TEAM", "forever", percent_off="50", applies_to=("prod_2",))

TIERS = (Tier(5, "0", "9000"), Tier(20, "1500"), Tier(None, "1125.5", "2500"))
VOLUME = (Tier(10, "3000", "5000"), Tier(100, "2500"), Tier(None, "2000"))
GRADUATED_PRICE = price(None, billing_scheme="tiered", tiers_mode="graduated")
VOLUME_PRICE = price(None, count=3, billing_scheme="tiered", tiers_mode="volume")
GRADUATED = fetched(replace(GRADUATED_PRICE, tiers=TIERS))
BY_VOLUME = fetched(replace(VOLUME_PRICE, tiers=VOLUME))
PACKS = price("499.5", transform_quantity=TransformQuantity(1000, "up"))
EUROS = Option("900")

TEN = price("1000")
YEARLY = price("12000", "year", id="price_2", product="prod_2")


def usd(text: str) -> Fraction:
    """An exact amount."""
    return Fraction(text)


RULES = (
    Rule(
        "Flat and per seat",
        "Quantity times unit amount. Unit amounts are decimal text of up to twelve decimals in minor units and are"
        " never rounded; an item without a quantity counts once.",
        (
            Case("A flat price", sub(item(price("1900"))), "1 × 19.00", usd("19")),
            Case("Three seats", sub(item(price("1250"), 3)), "3 × 12.50", usd("37.5")),
            Case("A fraction of a cent", sub(item(price("0.125"), 30)), "30 × 0.00125", usd("0.0375")),
            Case("No seats", sub(item(price("1250"), 0)), "0 × 12.50", usd("0")),
        ),
    ),
    Rule(
        "Packs (`transform_quantity`)",
        "The quantity is divided first, and what is left over is rounded up or down as the price says.",
        (
            Case("Rounded up", sub(item(PACKS, 4200)), "4,200 ÷ 1,000 → 5 packs; 5 × 4.995", usd("24.975")),
            Case(
                "Rounded down",
                sub(item(replace(PACKS, transform_quantity=TransformQuantity(1000, "down")), 4200)),
                "4,200 ÷ 1,000 → 4 packs; 4 × 4.995",
                usd("19.98"),
            ),
            Case("Exactly full", sub(item(PACKS, 4000)), "4 × 4.995", usd("19.98")),
        ),
    ),
    Rule(
        "Graduated tiers",
        "Each unit at the price of the tier it falls into, plus the flat amount of every tier that is reached."
        " `up_to` belongs to its tier. A quantity of 0 reaches the first tier. Webhooks carry no tiers, so the"
        " price is fetched first. Here: up to 5 units 90.00 flat; up to 20 units 15.00 each; above 11.255 each"
        " and 25.00 flat.",
        (
            Case("In the first tier", sub(item(GRADUATED_PRICE, 5)), "90", usd("90"), known=GRADUATED),
            Case("In the second", sub(item(GRADUATED_PRICE, 8)), "90 + 3 × 15", usd("135"), known=GRADUATED),
            Case(
                "At its end", sub(item(GRADUATED_PRICE, 20)), "90 + 15 × 15", usd("315"), known=GRADUATED
            ),
            Case(
                "In the last",
                sub(item(GRADUATED_PRICE, 22)),
                "90 + 15 × 15 + 2 × 11.255 + 25",
                usd("362.51"),
                known=GRADUATED,
            ),
            Case("A quantity of 0", sub(item(GRADUATED_PRICE, 0)), "90", usd("90"), known=GRADUATED),
        ),
    ),
    Rule(
        "Volume tiers",
        "The whole quantity at the price of the tier it falls into, plus that tier's flat amount alone. Here, every"
        " three months: up to 10 units 30.00 each and 50.00 flat; up to 100 units 25.00 each; above 20.00 each.",
        (
            Case(
                "In the first tier", sub(item(VOLUME_PRICE, 10)), "(10 × 30 + 50) ÷ 3", usd("350/3"),
                known=BY_VOLUME,
            ),
            Case(
                "In the second", sub(item(VOLUME_PRICE, 11)), "11 × 25 ÷ 3", usd("275/3"), known=BY_VOLUME
            ),
            Case("In the last", sub(item(VOLUME_PRICE, 150)), "150 × 20 ÷ 3", usd("1000"), known=BY_VOLUME),
            Case("A quantity of 0", sub(item(VOLUME_PRICE, 0)), "50 ÷ 3", usd("50/3"), known=BY_VOLUME),
        ),
    ),
    Rule(
        "Metered",
        "Usage is not known beforehand, so a metered item brings nothing; the other items count.",
        (
            Case(
                "Beside a flat price",
                sub(item(price("0.25", usage_type="metered"), None), item(TEN, id="si_2")),
                "0 + 10",
                usd("10"),
            ),
        ),
    ),
    Rule(
        "Intervals",
        "A year is 12 months, 52 weeks or 365 days. An amount every n intervals is divided by n. Each item is"
        " normalised by itself, so intervals may be mixed.",
        (
            Case("Every 30 days", sub(item(price("2500", "day", 30))), "25 × 365 ÷ 12 ÷ 30", usd("25")
                 * Fraction(365, 360)),
            Case("Weekly", sub(item(price("700", "week"))), "7 × 52 ÷ 12", usd("91/3")),
            Case("Every two weeks", sub(item(price("700", "week", 2))), "7 × 52 ÷ 12 ÷ 2", usd("91/6")),
            Case("Every three months", sub(item(price("285000", "month", 3))), "2,850 ÷ 3", usd("950")),
            Case("Yearly", sub(item(price("19000", "year"))), "190 ÷ 12", usd("95/6")),
            Case("Every two years", sub(item(price("24000", "year", 2))), "240 ÷ 24", usd("10")),
            Case("Mixed", sub(item(TEN), item(YEARLY, id="si_2")), "10 + 120 ÷ 12", usd("20")),
            Case("Not recurring", sub(item(price("5000", None)), item(TEN)), "0 + 10", usd("10")),
        ),
    ),
    Rule(
        "Currencies",
        "Amounts are in the subscription's currency; those of several currencies are never summed. Most currencies"
        " have two decimals, some none and some three; ISK and UGX have none, but Stripe counts them in hundredths."
        " A price that is sold in several currencies tells webhooks its first only, so it is fetched.",
        (
            Case("Yen", sub(item(price("1900", currency="jpy"), 2)), "2 × 1,900", usd("3800")),
            Case("Dinars", sub(item(price("12345", currency="kwd"))), "12.345", usd("12.345")),
            Case("Krónur", sub(item(price("190000", currency="isk"))), "190,000 ÷ 100", usd("1900")),
            Case("Shillings of Uganda", sub(item(price("500", currency="ugx"))), "500 ÷ 100", usd("5")),
            Case(
                "A price of several currencies",
                sub(item(TEN, 2), currency="eur"),
                "2 × 9.00",
                usd("18"),
                known=fetched(replace(TEN, options={"eur": EUROS})),
            ),
        ),
    ),
    Rule(
        "Discounts",
        "An item's own discounts come first, then the subscription's, in their order; a customer's discount counts"
        " only where the subscription has none. A percentage is of what is left. An amount off is per invoice, in"
        " its own currency, split over the items by what is left of them (with mixed intervals: per invoice of the"
        " shortest), and never takes more than there is. A coupon for certain products spares the others. A"
        " discount is over at its end. Profile `stripe` counts coupons that last forever; `net` also those that"
        " repeat, until they end. One of a single invoice is no part of what recurs and counts in neither.",
        (
            Case(
                "Percent, forever", sub(item(TEN), discounts=redeemed("QUARTER")), "10 × 75 %", usd("7.5"),
                known=fetched(FOREVER),
            ),
            Case(
                "Repeating, in `stripe`", sub(item(TEN), discounts=redeemed("HALF", AT + 60 * DAY)), "10",
                usd("10"), known=fetched(HALF),
            ),
            Case(
                "Repeating, in `net`", sub(item(TEN), discounts=redeemed("HALF", AT + 60 * DAY)), "10 × 50 %",
                usd("5"), profile=NET, known=fetched(HALF),
            ),
            Case(
                "Repeating, in `net`, at its end", sub(item(TEN), discounts=redeemed("HALF", AT)), "10",
                usd("10"), profile=NET,
            ),
            Case(
                "Once, in `net`", sub(item(TEN), discounts=redeemed("WELCOME")), "10", usd("10"), profile=NET,
                known=fetched(WELCOME),
            ),
            Case(
                "An amount off a month", sub(item(TEN, 2), discounts=redeemed("FIVE")), "20 − 5", usd("15"),
                known=fetched(FIVE),
            ),
            Case(
                "An amount off a year", sub(item(YEARLY), discounts=redeemed("FIVE")), "(120 − 5) ÷ 12",
                usd("115/12"), known=fetched(FIVE),
            ),
            Case(
                "An amount off mixed intervals",
                sub(item(TEN), item(YEARLY, 3, id="si_2"), discounts=redeemed("FIVE")),
                "10 + 3 × 120 ÷ 12 − 5", usd("35"), known=fetched(FIVE),
            ),
            Case(
                "More off than there is", sub(item(price("300")), discounts=redeemed("FIVE")), "3 − 3",
                usd("0"), known=fetched(FIVE),
            ),
            Case(
                "An amount in another currency",
                sub(item(price("1000", currency="eur")), discounts=redeemed("FIVE")), "10", usd("10"),
                known=fetched(FIVE),
            ),
            Case(
                "On one item of two",
                sub(item(TEN, discounts=redeemed("QUARTER")), item(TEN, id="si_2")), "10 × 75 % + 10",
                usd("17.5"), known=fetched(FOREVER),
            ),
            Case(
                "On item and subscription",
                sub(item(TEN, 2, discounts=redeemed("QUARTER")), discounts=redeemed("FIVE")),
                "20 × 75 % − 5", usd("10"), known=fetched(FOREVER, FIVE),
            ),
            Case(
                "Two, in their order",
                sub(item(TEN, 2), discounts=redeemed("FIVE") + redeemed("QUARTER")), "(20 − 5) × 75 %",
                usd("11.25"), known=fetched(FOREVER, FIVE),
            ),
            Case(
                "For one product of two",
                sub(item(TEN), item(YEARLY, id="si_2"), discounts=redeemed("TEAM")), "10 + 120 ÷ 12 × 50 %",
                usd("15"), known=fetched(ONE_PRODUCT),
            ),
            Case(
                "The customer's", sub(item(TEN)), "10 × 75 %", usd("7.5"), known=fetched(FOREVER),
                customer_discount=redeemed("QUARTER")[0],
            ),
            Case(
                "The customer's, beside the subscription's", sub(item(TEN), discounts=redeemed("FIVE")),
                "10 − 5", usd("5"), known=fetched(FOREVER, FIVE), customer_discount=redeemed("QUARTER")[0],
            ),
        ),
    ),
    Rule(
        "Trials",
        "A trialing subscription brings nothing yet; what it is worth is told beside. Since 2026-09-30.endive an"
        " item of an active subscription can be in a trial of its own, and brings nothing until that is over.",
        (
            Case("A free trial", sub(item(TEN), status="trialing", trial_end=AT + DAY), "0", usd("0")),
            Case(
                "One item of two in trial", sub(item(TEN, trial_end=AT + 1), item(TEN, 2, id="si_2")),
                "0 + 2 × 10", usd("20"),
            ),
            Case("The item's trial is over", sub(item(TEN, trial_end=AT)), "10", usd("10")),
        ),
    ),
    Rule(
        "Statuses",
        "`active` and `past_due` count. `trialing`, `incomplete`, `incomplete_expired`, `unpaid`, `canceled`,"
        " `paused` and what is not known yet do not.",
        tuple(
            Case(f"`{status}`", sub(item(TEN), status=status), by_hand, usd(by_hand))
            for status, by_hand in (
                ("past_due", "10"),
                ("incomplete", "0"),
                ("incomplete_expired", "0"),
                ("unpaid", "0"),
                ("canceled", "0"),
                ("paused", "0"),
                ("hibernating", "0"),
            )
        ),
    ),
    Rule(
        "Scheduled cancellation",
        "In profile `stripe` a subscription that will not renew counts no more from the moment that this is set,"
        " as in Stripe's reports; an end beyond the running period does not matter yet. In `net` it counts until"
        " it ends.",
        (
            Case("At the period's end, `stripe`", sub(item(TEN), cancel_at_period_end=True), "0", usd("0")),
            Case(
                "At the period's end, `net`", sub(item(TEN), cancel_at_period_end=True), "10", usd("10"),
                profile=NET,
            ),
            Case("Within the period, `stripe`", sub(item(TEN), cancel_at=AT + DAY), "0", usd("0")),
            Case("Some periods later, `stripe`", sub(item(TEN), cancel_at=AT + 99 * DAY), "10", usd("10")),
        ),
    ),
    Rule(
        "Paused collection",
        "`pause_collection` leaves the status as it is, and Stripe counts it. Profile `net` does not while invoices"
        " are voided or marked uncollectible; drafts that are kept are still to be collected.",
        (
            Case(
                "Voided, `stripe`", sub(item(TEN), pause_collection=CollectionPause("void")), "10", usd("10")
            ),
            Case(
                "Voided, `net`", sub(item(TEN), pause_collection=CollectionPause("void")), "0", usd("0"),
                profile=NET,
            ),
            Case(
                "Kept as draft, `net`", sub(item(TEN), pause_collection=CollectionPause("keep_as_draft")),
                "10", usd("10"), profile=NET,
            ),
            Case(
                "Voided until now, `net`", sub(item(TEN), pause_collection=CollectionPause("void", AT)), "10",
                usd("10"), profile=NET,
            ),
        ),
    ),
)  # fmt: skip

INTRODUCTION = """\
# Pricing

How Revstream works out the monthly (MRR) and yearly (ARR) recurring revenue of a subscription. ARR is twelve times
MRR. Both are exact fractions, rounded to the currency's decimals only where they are written to Salesforce.

What depends on tiers, on another currency of a price or on a coupon is fetched from Stripe before it is told; it is
never guessed. `PRICING_PROFILE` chooses what counts: `stripe` (the default) follows Stripe's own reports, `net` is
what is really being charged.

`PRICING_HOOK` names a Python function, `package.module:function`, that is asked about every item first. It gets
an `agents.pricing.Question` and answers with the item's amount a month before discounts in minor units (`int`,
`Decimal` or `Fraction`), or `None` for the rules below.

Each example below is a test of Revstream: first as a person reckons it, then in Revstream's own words.
"""
