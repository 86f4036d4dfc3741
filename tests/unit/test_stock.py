"""What is fetched of the catalogue, what is fetched again, and whose a stray event is."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, cast

import msgspec
import pytest

from agents.pricing import Unknown, Unpriceable
from agents.stock import Stock
from agents.strays import Owners
from stream.stripe.api import Away, NoKey, NotFound, StripeApi
from stream.stripe.catalogue import Entry
from stream.stripe.patience import patiently
from stream.stripe.shapes import Charge, Coupon, Discount, Price, Product
from tests.touched import event


class Api:
    """Stripe's API as far as it is asked here. `failure` is raised instead of an answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, str]] = []
        self.name = "Team"
        self.failure: Exception | None = None
        self.customer: str | None = "cus_1"

    def _asked(self, id_: str, account: str | None) -> None:
        self.asked.append((account, id_))
        if self.failure is not None:
            raise self.failure

    async def price(self, id_: str, account: str | None = None) -> Entry:
        self._asked(id_, account)
        price = msgspec.json.decode(
            msgspec.json.encode({"id": id_, "currency": "usd", "product": "prod_1"}), type=Price
        )
        return Entry(len(self.asked), price=price, product=Product("prod_1", name=self.name))

    async def coupon(self, id_: str, account: str | None = None) -> Entry:
        self._asked(id_, account)
        return Entry(len(self.asked), coupon=Coupon(id_, duration="forever"))

    async def discounts(
        self, subscription: str, wanted: Collection[str], account: str | None = None
    ) -> dict[str, Discount]:
        self._asked(subscription, account)
        assert wanted
        return {"di_1": Discount("di_1", coupon="HALF")} if subscription == "sub_1" else {}

    async def charge(self, id_: str, account: str | None = None) -> Charge:
        self._asked(id_, account)
        return Charge(id_, 100, "usd", "succeeded", customer=self.customer)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def stock(api: Api) -> Stock:
    return Stock(cast(StripeApi, api))


async def test_what_is_missing_is_fetched_into_its_accounts_catalogue(api: Api, stock: Stock) -> None:
    shelf = stock.lookup("acct_1/cus_1")
    assert shelf.price("price_1") is None
    unknown = Unknown(("price_1",), ("HALF",), ("di_1", "di_2"), ("sub_1", "sub_2"))
    found = await stock.fetch(unknown, "acct_1")
    assert set(found) == {"acct_1/price_1", "acct_1/HALF", "acct_1/di_1", "acct_1/di_2"}
    assert {account for account, _ in api.asked} == {"acct_1"}
    assert shelf.price("price_1") is not None
    product = shelf.product("price_1")
    assert product is not None
    assert product.name == "Team"
    assert shelf.discount("di_1") == Discount("di_1", coupon="HALF")
    assert shelf.discount("di_2") == Discount("di_2"), "neither Stripe nor an event tells of it"
    assert stock.lookup("cus_1").price("price_1") is None, "another account's"


async def test_a_discount_that_was_never_billed_with_is_as_an_event_told(stock: Stock, api: Api) -> None:
    told = {"acct_1/di_2": Discount("di_2", coupon="HALF"), "acct_1/di_1": Discount("di_1", coupon="OTHER")}
    assert stock.tell(told) == {}
    found = await stock.fetch(Unknown((), (), ("di_1", "di_2"), ("sub_1",)), "acct_1")
    assert {key: entry.discount for key, entry in found.items()} == {
        "acct_1/di_1": Discount("di_1", coupon="HALF"),  # what Stripe tells goes first
        "acct_1/di_2": Discount("di_2", coupon="HALF"),
    }


async def test_what_was_taken_for_nothing_is_known_once_an_event_tells(stock: Stock, api: Api) -> None:
    await stock.fetch(Unknown((), (), ("di_2",), ("sub_1",)), None)
    assert stock.lookup("cus_1").discount("di_2") == Discount("di_2")
    told = Discount("di_2", coupon="HALF")
    assert [entry.discount for entry in stock.tell({"di_2": told}).values()] == [told]
    assert stock.lookup("cus_1").discount("di_2") == told
    assert stock.tell({"di_2": told}) == {}, "it is known by now"


@pytest.mark.parametrize("failure", [NoKey("No key."), NotFound("Stripe has no price price_1.")])
async def test_what_cannot_be_fetched_is_not_guessed(api: Api, stock: Stock, failure: Exception) -> None:
    api.failure = failure
    assert await stock.fetch(Unknown(("price_1",), (), ("di_1",), ("sub_1",)), None) == {}
    for ask in (stock.lookup("cus_1").price, stock.lookup("cus_1").discount):
        with pytest.raises(Unpriceable, match=str(failure)):
            ask("price_1" if ask.__name__ == "price" else "di_1")


async def test_a_product_that_is_renamed_renews_the_prices_that_are_held(api: Api, stock: Stock) -> None:
    await stock.fetch(Unknown(("price_1",)), None)
    assert await stock.refresh(["prod_1"], None) == {}, "nothing has changed"
    api.name = "Crew"
    renewed = await stock.refresh(["prod_1", "price_unheard_of"], None)
    assert set(renewed) == {"price_1"}
    assert renewed["price_1"].renewed
    assert await stock.refresh(["prod_1"], "acct_1") == {}, "another account's"


async def test_a_price_that_was_deleted_costs_what_it_did(api: Api, stock: Stock) -> None:
    await stock.fetch(Unknown(("price_1",)), None)
    api.failure = NotFound("Stripe has no price price_1.")
    assert await stock.refresh(["price_1"], None) == {}
    assert stock.lookup("cus_1").price("price_1") is not None


async def test_those_who_want_the_same_at_once_share_a_request(api: Api, stock: Stock) -> None:
    one, other = await asyncio.gather(*(stock.fetch(Unknown(("price_1",)), None) for _ in range(2)))
    assert (set(one), set(other)) == ({"price_1"}, set())
    assert api.asked == [(None, "price_1")]


async def test_an_older_fetch_does_not_replace_a_newer_one(stock: Stock) -> None:
    stock.put("HALF", Entry(2, coupon=Coupon("HALF", duration="forever")))
    stock.put("HALF", Entry(1, coupon=Coupon("HALF", duration="once")))
    coupon = stock.lookup("cus_1").coupon("HALF")
    assert coupon is not None
    assert coupon.duration == "forever"


async def test_stripe_is_asked_until_it_answers(
    api: Api, stock: Stock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("stream.stripe.patience.FIRST_PAUSE_SECONDS", 0.001)
    answers: list[Any] = [Away("Stripe does not answer for price price_1."), 7]

    async def ask() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return int(answer)

    assert await patiently(ask) == 7
    assert "price_1" in caplog.text


async def test_whoever_counts_tries_is_told_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.stripe.patience.FIRST_PAUSE_SECONDS", 0.001)
    tried = 0

    async def ask() -> int:
        nonlocal tried
        tried += 1
        raise Away("Stripe does not answer for the list of events.")

    with pytest.raises(Away):
        await patiently(ask, tries=3)
    assert tried == 3


# Strays


def dispute(key: str = "dp_1") -> Any:
    return event("customer.subscription.updated", {"id": "dp_1", "status": "active"}, key=key)


async def test_an_object_that_always_names_its_customer_and_does_not_is_refused(api: Api) -> None:
    owner = await Owners(cast(StripeApi, api)).of(dispute())
    assert owner.key is None
    assert "dp_1" in (owner.error or "")
    assert api.asked == []
