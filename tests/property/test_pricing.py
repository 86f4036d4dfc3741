"""What must hold for every subscription: order and splitting change nothing, and nothing gets lost."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.pricing import NET, PROFILES, Money, Mrr, Profile, mrr, parsed
from agents.pricing.money import decimals
from stream.stripe.catalogue import Entries
from stream.stripe.shapes import Coupon, Item, Price, Subscription, Tier, TransformQuantity
from tests.unit.pricing_cases import AT, fetched, item, redeemed, sub

amounts = st.decimals(0, 10**7, places=4, allow_nan=False, allow_infinity=False).map(str)
profiles = st.sampled_from(sorted(PROFILES)).map(PROFILES.__getitem__)


@st.composite
def prices(draw: st.DrawFn, flat: bool = False) -> Price:
    told = Price(
        id=f"price_{draw(st.integers(0, 9))}",
        currency="usd",
        product=f"prod_{draw(st.integers(0, 2))}",
        unit_amount=draw(amounts),
        interval=draw(st.sampled_from(["day", "week", "month", "year"])),
        interval_count=draw(st.integers(1, 12)),
        usage_type=draw(st.sampled_from(["licensed", "licensed", "metered"])),
    )
    match "flat" if flat else draw(st.sampled_from(["flat", "packs", "graduated", "volume"])):
        case "packs":
            packs = TransformQuantity(draw(st.integers(1, 100)), draw(st.sampled_from(["up", "down"])))
            return replace(told, transform_quantity=packs)
        case "flat":
            return told
        case mode:
            ends = sorted(draw(st.sets(st.integers(1, 500), max_size=4)))
            tiers = tuple(Tier(end, draw(amounts), draw(st.none() | amounts)) for end in [*ends, None])
            return replace(told, unit_amount=None, billing_scheme="tiered", tiers_mode=mode, tiers=tiers)


items = st.builds(item, prices(), st.integers(0, 1000))
coupons = st.one_of(
    st.builds(
        lambda off, durations: Coupon("OFF", durations, percent_off=str(off), applies_to=()),
        st.decimals(0, 100, places=2),
        st.sampled_from(["forever", "repeating", "once"]),
    ),
    st.builds(
        lambda off, products: Coupon("OFF", "forever", amount_off={"usd": off}, applies_to=products),
        st.integers(0, 10**6),
        st.sampled_from([(), ("prod_0",), ("prod_1", "prod_2")]),
    ),
)


def worth(subscription: Subscription, coupon: Coupon | None = None, profile: Profile = NET) -> Mrr:
    discounts = redeemed("OFF") if coupon else ()
    known = Entries(fetched(coupon) if coupon else {})
    result = mrr(replace(subscription, discounts=discounts), known, profile, AT)
    assert isinstance(result, Mrr)
    return result


@given(
    prices(flat=True), st.lists(st.integers(0, 500), min_size=1, max_size=6), st.none() | coupons, profiles
)
def test_splitting_a_quantity_of_a_flat_price_changes_nothing(
    price: Price, parts: list[int], coupon: Coupon | None, profile: Profile
) -> None:
    whole = sub(item(price, sum(parts)))
    split = sub(*(item(price, part, id=f"si_{n}") for n, part in enumerate(parts)))
    assert worth(whole, coupon, profile).money == worth(split, coupon, profile).money


@given(st.lists(items, min_size=1, max_size=6), st.none() | coupons, profiles, st.data())
def test_the_order_of_items_changes_nothing(
    held: list[Item], coupon: Coupon | None, profile: Profile, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(held))
    assert worth(sub(*held), coupon, profile).money == worth(sub(*shuffled), coupon, profile).money


@given(st.lists(items, min_size=1, max_size=6), st.none() | coupons, profiles)
def test_twelve_months_are_a_year_and_lines_lose_nothing(
    held: list[Item], coupon: Coupon | None, profile: Profile
) -> None:
    result = worth(sub(*held), coupon, profile)
    assert result.arr.minor == 12 * result.money.minor
    assert sum((line.money.minor for line in result.lines), Fraction(0)) == result.worth.minor


@given(st.lists(items, min_size=1, max_size=6), coupons, profiles)
def test_a_discount_never_adds_and_never_takes_more_than_there_is(
    held: list[Item], coupon: Coupon, profile: Profile
) -> None:
    full, less = worth(sub(*held), None, profile), worth(sub(*held), coupon, profile)
    assert 0 <= less.money.minor <= full.money.minor


@given(prices(), st.integers(0, 1000), st.integers(1, 12))
def test_n_intervals_bring_an_nth(price: Price, quantity: int, count: int) -> None:
    once = worth(sub(item(replace(price, interval_count=1), quantity)))
    seldom = worth(sub(item(replace(price, interval_count=count), quantity)))
    assert seldom.money * count == once.money


@given(prices(flat=True), st.integers(0, 1000), st.integers(0, 1000))
def test_more_of_a_flat_price_is_never_less(price: Price, quantity: int, more: int) -> None:
    few, many = worth(sub(item(price, quantity))), worth(sub(item(price, quantity + more)))
    assert few.money.minor <= many.money.minor


whole = st.integers(-(10**12), 10**12)
currencies = st.sampled_from(["usd", "jpy", "kwd", "isk"])


@given(whole, currencies)
def test_a_whole_number_is_as_good_as_a_fraction(minor: int, currency: str) -> None:
    one, other = Money(minor, currency), Money(Fraction(minor), currency)
    assert (one, one.exact, one.rounded, one.text) == (other, other.exact, other.rounded, other.text)


@given(st.decimals(0, 10**12, places=6))
def test_a_decimal_text_loses_nothing(amount: Decimal) -> None:
    assert parsed(str(amount)) == Fraction(amount)
    assert parsed(str(int(amount))) == int(amount)


@given(whole, st.integers(1, 10**4), currencies)
def test_what_is_shown_is_the_amount_or_says_that_it_is_not(minor: int, parts: int, currency: str) -> None:
    money = Money(Fraction(minor, parts), currency)
    unit = Fraction(1, 10 ** decimals(currency))
    assert abs(Fraction(money.rounded) - money.exact) <= unit / 2
    shown, exactly = money.text.removeprefix("≈ "), not money.text.startswith("≈")
    told = Fraction(shown.partition(" ")[0].replace(",", ""))
    assert (told == money.exact) is exactly
    assert abs(told - money.exact) <= unit / 200
