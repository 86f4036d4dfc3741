"""An Opportunity's products: their totals are its amount, whatever is taken off and however it is rounded."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from agents.events import State
from agents.line_items import lines, totals
from agents.pricing import Line, Money, Mrr
from stream.settings import Opportunities, Settings
from stream.stripe.shapes import Item, Price, Subscription
from tests.touched import touched

BOOK = "01sSb0000000001IAA"


def item(number: int, quantity: int = 1) -> Item:
    return Item(
        f"si_{number}", Price(f"price_{number}", "usd", unit_amount="1000", interval="month"), quantity
    )


@given(
    st.lists(st.fractions(0, 10_000), min_size=1, max_size=6),
    st.fractions(0, 1),
    st.sampled_from(["usd", "jpy", "kwd"]),
    st.sampled_from(["arr", "mrr"]),
)
def test_the_totals_are_the_amount_to_the_cent(
    amounts: list[Fraction], off: Fraction, currency: str, amount: str
) -> None:
    it = Subscription("sub_1", "active", currency=currency, items=tuple(item(n) for n in range(len(amounts))))
    own = tuple(Line(f"si_{n}", Money(minor, currency), "") for n, minor in enumerate(amounts))
    rebate = Line("", Money(-sum(amounts, Fraction(0)) * off, currency), "")
    mrr = Mrr(Money(sum(amounts, Fraction(0)) * (1 - off), currency), (*own, rebate))
    whole = (mrr.worth * (12 if amount == "arr" else 1)).rounded
    assert round(sum(totals(it, mrr, amount)), 3) == float(whole)


def test_each_item_is_a_line_of_its_prices_product() -> None:
    it = Subscription("sub_1", "active", currency="usd", items=(item(1, 3),))
    mrr = Mrr(Money(Fraction(3000), "usd"), (Line("si_1", Money(Fraction(3000), "usd"), ""),))
    settings = Settings(opportunities=Opportunities(pricebook=BOOK))
    product, entry, line = lines(touched(State(), settings=settings), "sub_1", it, mrr, 7)
    assert (product.key, product.fields["Name"]) == ("Product2:price_1", "10.00 USD monthly")
    assert (entry.key, entry.fields["UnitPrice"], entry.fields["Pricebook2Id"]) == (
        "PricebookEntry:price_1",
        10.0,
        BOOK,
    )
    assert line.key == "OpportunityLineItem:sub_1:si_1"
    assert line.fields == {"Quantity": 3.0, "TotalPrice": 360.0}
    assert set(line.if_empty) == {"Opportunity", "PricebookEntry"}


def test_without_a_price_book_there_are_none() -> None:
    it = Subscription("sub_1", "active", currency="usd", items=(item(1),))
    assert list(lines(touched(State()), "sub_1", it, Mrr(Money(Fraction(0), "usd")), 7)) == []
