"""MRR and ARR, held to the golden cases and to what a case cannot show: what is unknown, hooks, refusals."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from msgspec.structs import replace

from agents.pricing import (
    NET,
    STRIPE,
    Money,
    Mrr,
    Question,
    Unknown,
    Unpriceable,
    by_currency,
    load_hook,
    mrr,
)
from stream.settings import SettingError
from stream.stripe.catalogue import Entries, Entry, decode, encode, key
from stream.stripe.shapes import Coupon, Discount, Price, Subscription, Tier, TransformQuantity
from tests.unit.pricing_cases import (
    AT,
    FOREVER,
    GRADUATED,
    GRADUATED_PRICE,
    HALF,
    RULES,
    TEN,
    Case,
    fetched,
    item,
    price,
    redeemed,
    sub,
)
from tests.unit.pricing_page import PAGE, page

NOTHING = Entries({})
CASES = [
    pytest.param(case, id=f"{rule.title}: {case.title}".encode("ascii", "ignore").decode())
    for rule in RULES
    for case in rule.cases
]


def worked(subscription: Subscription, lookup: Entries = NOTHING, **more: object) -> Mrr:
    result = mrr(subscription, lookup, STRIPE, AT, **more)  # type: ignore[arg-type]
    assert isinstance(result, Mrr)
    return result


@pytest.mark.parametrize("case", CASES)
def test_a_case_worked_by_hand(case: Case) -> None:
    result = mrr(case.subscription, case.lookup, case.profile, case.at, case.customer_discount)
    assert isinstance(result, Mrr)
    assert result.money.exact == case.mrr
    assert result.arr.exact == case.mrr * 12
    assert result.money.currency == case.subscription.currency


@pytest.mark.parametrize("case", CASES)
def test_the_lines_sum_up_to_what_it_is_worth(case: Case) -> None:
    result = mrr(case.subscription, case.lookup, case.profile, case.at, case.customer_discount)
    assert isinstance(result, Mrr)
    assert sum((line.money.minor for line in result.lines), Fraction(0)) == result.worth.minor


def test_the_page_is_written_from_the_cases() -> None:
    assert PAGE.read_text() == page(), "Run `python -m tests.unit.pricing_page`."


def test_the_arithmetic_can_be_read() -> None:
    result = worked(sub(item(price("1250"), 3), discounts=redeemed("QUARTER")), Entries(fetched(FOREVER)))
    assert result.arithmetic == (
        "price_1: 3 × 12.50 USD per month = 37.50 USD",
        "QUARTER: 25 % off = -9.375 USD per month",
        "MRR 28.125 USD, ARR 337.50 USD",
    )


def test_a_trial_is_worth_what_it_will_bring() -> None:
    result = worked(sub(item(TEN), status="trialing"))
    assert (result.money.text, result.worth.text) == ("0.00 USD", "10.00 USD")
    assert result.arithmetic[-1] == "MRR 0.00 USD, ARR 0.00 USD (status is trialing; worth 10.00 USD)"


@pytest.mark.parametrize(
    ("subscription", "unknown"),
    [
        (sub(item(GRADUATED_PRICE, 8)), Unknown(prices=("price_1",))),
        (sub(item(TEN), currency="eur"), Unknown(prices=("price_1",))),
        (sub(item(TEN), discounts=redeemed("QUARTER")), Unknown(coupons=("QUARTER",))),
        (sub(item(TEN, discounts=redeemed("QUARTER"))), Unknown(coupons=("QUARTER",))),
        (
            sub(item(TEN), discounts=(Discount("di_1"),)),
            Unknown(discounts=("di_1",), subscriptions=("sub_1",)),
        ),
        (sub(item(TEN), more_items=True), Unknown(subscriptions=("sub_1",))),
        (
            sub(item(replace(GRADUATED_PRICE, id="b")), item(replace(GRADUATED_PRICE, id="a")),
                discounts=redeemed("QUARTER")),
            Unknown(prices=("a", "b"), coupons=("QUARTER",)),
        ),
    ],
)  # fmt: skip
def test_what_is_not_known_is_asked_for_and_never_guessed(
    subscription: Subscription, unknown: Unknown
) -> None:
    assert mrr(subscription, NOTHING, STRIPE, AT) == unknown


def test_a_coupon_inside_a_discount_does_not_tell_its_products() -> None:
    told = replace(FOREVER, applies_to=None)
    discount = replace(redeemed("QUARTER")[0], embedded=told)
    assert mrr(sub(item(TEN), discounts=(discount,)), NOTHING, STRIPE, AT) == Unknown(coupons=("QUARTER",))


def test_a_coupon_that_would_not_count_is_not_asked_for() -> None:
    discount = replace(redeemed("HALF")[0], embedded=replace(HALF, applies_to=None))
    assert worked(sub(item(TEN), discounts=(discount,))).money.text == "10.00 USD"
    assert mrr(sub(item(TEN), discounts=(discount,)), NOTHING, NET, AT) == Unknown(coupons=("HALF",))


def test_a_deleted_coupon_stays_in_force_where_it_was_redeemed() -> None:
    discount = Discount("di_1", coupon="QUARTER", embedded=FOREVER)
    subscription = sub(item(TEN), discounts=(Discount("di_1"),))
    known = Entries({"di_1": Entry(AT, discount=discount), "QUARTER": Entry(AT)})
    assert worked(subscription, known).money.text == "7.50 USD"


def test_a_deleted_coupon_inside_an_old_payload_is_asked_for_with_its_discount() -> None:
    told = Discount("di_1", coupon="QUARTER", embedded=replace(FOREVER, applies_to=None))
    subscription = sub(item(TEN), discounts=(told,))
    gone = {"QUARTER": Entry(AT)}
    assert mrr(subscription, Entries(gone), STRIPE, AT) == Unknown(
        discounts=("di_1",), subscriptions=("sub_1",)
    )
    whole = Entry(AT, discount=replace(told, embedded=FOREVER))
    assert worked(subscription, Entries({**gone, "di_1": whole})).money.text == "7.50 USD"
    with pytest.raises(Unpriceable, match="QUARTER of discount di_1 was deleted"):
        worked(subscription, Entries({**gone, "di_1": Entry(AT)}))


def test_a_deleted_price_is_refused_by_name() -> None:
    with pytest.raises(Unpriceable, match="price_1 was deleted"):
        worked(sub(item(GRADUATED_PRICE)), Entries({"price_1": Entry(AT)}))


def test_a_discount_that_stripe_no_longer_has_takes_nothing_off() -> None:
    assert (
        worked(sub(item(TEN), discounts=(Discount("di_1"),)), Entries({"di_1": Entry(AT)})).money.text
        == "10.00 USD"
    )


def test_a_price_without_a_product_is_asked_for_when_a_coupon_is_for_some() -> None:
    subscription = sub(item(replace(TEN, product=None)), discounts=redeemed("TEAM"))
    coupon = Coupon("TEAM", "forever", percent_off="50", applies_to=("prod_1",))
    assert mrr(subscription, Entries(fetched(coupon)), STRIPE, AT) == Unknown(prices=("price_1",))
    assert worked(subscription, Entries(fetched(coupon, TEN))).money.text == "5.00 USD"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (price("1", "decade"), "decade"),
        (price("1", transform_quantity=TransformQuantity(10, "sideways")), "sideways"),
        (price(None, billing_scheme="tiered", tiers_mode="spiral", tiers=(Tier(None, "1"),)), "spiral"),
        (price(None, billing_scheme="tiered", tiers_mode="volume", tiers=(Tier(5, "1"),)), "no tier"),
        (price(None, billing_scheme="tiered", tiers_mode="graduated", tiers=(Tier(5, "1"),)), "no tier"),
    ],
)
def test_what_no_fetch_would_help_is_refused_by_name(wrong: Price, says: str) -> None:
    with pytest.raises(Unpriceable, match=says) as raised:
        mrr(sub(item(wrong, 9)), NOTHING, STRIPE, AT)
    assert "price_1" in str(raised.value)


def test_a_fetched_price_that_still_lacks_its_tiers_is_refused() -> None:
    with pytest.raises(Unpriceable, match="price_1 of subscription sub_1"):
        mrr(sub(item(GRADUATED_PRICE)), Entries(fetched(GRADUATED_PRICE)), STRIPE, AT)


def test_an_amount_that_the_payer_chooses_is_not_known_beforehand() -> None:
    assert worked(sub(item(price(None)))).money.minor == 0


def double_for_teams(question: Question) -> Decimal | None:
    return Decimal("99.5") if question.item.price.product == "prod_1" else None


def lost(question: Question) -> Decimal:
    raise KeyError(question.item.id)


def test_a_hook_replaces_the_calculation_for_its_product() -> None:
    subscription = sub(item(GRADUATED_PRICE), item(replace(TEN, product="prod_2"), id="si_2"))
    result = worked(subscription, hook=load_hook(f"{__name__}:double_for_teams"))
    assert result.money.exact == Fraction("10.995")


@pytest.mark.parametrize("hook", [lost, lambda _: 0.1, lambda _: True, lambda _: "10"])
def test_a_hook_that_fails_is_named_with_what_it_failed_on(hook: object) -> None:
    with pytest.raises(Unpriceable, match="hook failed on price price_1 of subscription sub_1"):
        worked(sub(item(TEN)), hook=hook)


@pytest.mark.parametrize("path", ["nowhere", "no.such:thing", f"{__name__}:missing", f"{__name__}:AT", ":x"])
def test_a_hook_that_is_not_there_is_a_wrong_setting(path: str) -> None:
    with pytest.raises(SettingError, match="PRICING_HOOK"):
        load_hook(path)


def test_currencies_are_never_summed() -> None:
    dollars, euros = worked(sub(item(TEN))), worked(sub(item(price("700", currency="eur"))))
    gone = worked(sub(item(price("1900", currency="jpy")), status="canceled"))
    total = by_currency([dollars, euros, dollars, gone])
    assert isinstance(total, dict)
    assert {c: m.text for c, m in total.items()} == {"usd": "20.00 USD", "eur": "7.00 EUR", "jpy": "0 JPY"}
    with pytest.raises(ValueError, match="usd and eur"):
        _ = dollars.money + euros.money


def test_one_unknown_makes_the_whole_unknown() -> None:
    unknown = mrr(sub(item(GRADUATED_PRICE)), NOTHING, STRIPE, AT)
    assert by_currency([worked(sub(item(TEN))), unknown]) == Unknown(prices=("price_1",))


@pytest.mark.parametrize(
    ("minor", "currency", "text", "rounded"),
    [
        ("123456789", "usd", "1,234,567.89 USD", "1234567.89"),
        ("0.5", "usd", "0.005 USD", "0.01"),
        ("-0.5", "usd", "-0.005 USD", "-0.01"),
        ("100/3", "usd", "≈ 0.3333 USD", "0.33"),
        ("1900", "jpy", "1,900 JPY", "1900"),
        ("1900", "bhd", "1.900 BHD", "1.900"),
        ("1900", "isk", "19 ISK", "19"),
        ("1950", "ugx", "19.5 UGX", "20"),
        ("1900", "huf", "19.00 HUF", "19.00"),
    ],
)
def test_money_is_written_in_its_currencys_decimals(
    minor: str, currency: str, text: str, rounded: str
) -> None:
    money = Money(Fraction(minor), currency)
    assert (money.text, str(money.rounded)) == (text, rounded)


def test_an_entry_is_stored_and_belongs_to_one_account() -> None:
    stored = decode(encode(GRADUATED["price_1"]))
    assert stored == GRADUATED["price_1"]
    entries = {key("price_1", "acct_1"): stored}
    assert Entries(entries, "acct_1").price("price_1") == stored.price
    assert Entries(entries).price("price_1") is None
