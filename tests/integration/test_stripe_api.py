"""What is fetched of Stripe with its own SDK, from an HTTP server on loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from stream.settings import Stripe
from stream.stripe.api import Away, NoAnswer, NoKey, NotFound, Refused, StripeApi
from stream.stripe.catalogue import decode, encode
from stream.stripe.shapes import Coupon, Discount, Option, Product, Tier

FIXTURES = Path(__file__).parents[1] / "unit" / "fixtures" / "stripe"
VERSION = "2026-10-28.endive"
Answer = Callable[[web.Request], Any]


def fixture(name: str, version: str = VERSION) -> Any:
    return json.loads((FIXTURES / f"{name}.json").read_text())[version]


def error(kind: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"type": kind, "code": code, "message": "as Stripe says it"}}


@asynccontextmanager
async def stripe(answers: dict[str, Answer]) -> AsyncIterator[tuple[StripeApi, list[web.Request]]]:
    """Stripe's API with these answers by path, and the requests that it gets."""
    asked: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request)
        if request.path not in answers:
            return web.json_response(error("invalid_request_error", "resource_missing"), status=404)
        told = answers[request.path](request)
        status, body = told if isinstance(told, tuple) else (200, told)
        # Not to be tried again: the SDK would wait before it does.
        return web.json_response(body, status=status, headers={"Stripe-Should-Retry": "false"})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server:
        base = str(server.make_url("")).rstrip("/")
        api = StripeApi(Stripe(api_key=SecretStr("sk_test_1"), api_base=base))
        try:
            yield api, asked
        finally:
            await api.close()


async def test_a_price_comes_with_tiers_currencies_and_product() -> None:
    async with stripe({"/v1/prices/price_team": lambda _: fixture("price")}) as (api, asked):
        entry = await api.price("price_team", account="acct_1")
    assert entry.price is not None
    assert entry.price.tiers == (Tier(5, "0", "9000"), Tier(None, "1125.5"))
    assert entry.product == Product("prod_team", name="Team")
    assert [sorted(request.query.values()) for request in asked] == [
        ["currency_options", "product", "tiers"],
        ["currency_options", "currency_options.jpy.tiers", "product", "tiers"],
    ]
    assert {request.headers["Stripe-Account"] for request in asked} == {"acct_1"}
    assert decode(encode(entry)) == entry


async def test_a_price_is_told_without_the_tiers_of_other_currencies_if_need_be() -> None:
    def answer(request: web.Request) -> Any:
        refused = any(value.endswith(".tiers") for value in request.query.values())
        return (400, error("invalid_request_error")) if refused else fixture("price")

    async with stripe({"/v1/prices/price_team": answer}) as (api, _):
        entry = await api.price("price_team")
    assert entry.price is not None
    assert entry.price.options == {"jpy": Option("1900")}


async def test_the_smallest_decimal_is_kept_as_it_was_written() -> None:
    small = {**fixture("price", "2020-08-27"), "unit_amount": None, "unit_amount_decimal": "0.000000000001"}
    async with stripe({"/v1/prices/price_team": lambda _: small}) as (api, _):
        entry = await api.price("price_team")
    assert entry.price is not None
    assert entry.price.unit_amount == "0.000000000001"


async def test_a_coupon_that_tells_no_products_is_for_all() -> None:
    answers: dict[str, Answer] = {
        "/v1/coupons/HALF": lambda _: fixture("coupon", "2020-08-27"),
        "/v1/coupons/TEAM": lambda _: fixture("coupon"),
    }
    async with stripe(answers) as (api, _):
        half, team = await api.coupon("HALF"), await api.coupon("TEAM")
    assert half.coupon is not None
    assert half.coupon.applies_to == ()
    assert team.coupon is not None
    assert team.coupon.applies_to == ("prod_team",)


async def test_a_subscriptions_items_are_fetched_to_the_last() -> None:
    whole = fixture("subscription", "2025-03-31.basil")
    item = whole["items"]["data"][0]
    many = [{**item, "id": f"si_{n}"} for n in range(230)]
    whole["items"] = {"data": many[:10], "has_more": True}

    def page(request: web.Request) -> Any:
        after = request.query.get("starting_after")
        start = 0 if after is None else int(after.removeprefix("si_")) + 1
        end = start + int(request.query["limit"])
        return {"object": "list", "data": many[start:end], "has_more": end < len(many)}

    async with stripe({"/v1/subscriptions/sub_1": lambda _: whole, "/v1/subscription_items": page}) as (
        api,
        _,
    ):
        subscription = await api.subscription("sub_1")
    assert [i.id for i in subscription.items] == [f"si_{n}" for n in range(230)]
    assert not subscription.more_items


async def test_discounts_come_with_their_coupons() -> None:
    told = {
        **fixture("subscription", "2025-03-31.basil"),
        "discounts": [fixture("discount"), {**fixture("discount", "2025-09-30.clover"), "id": "di_3"}],
    }
    coupon = {**told["discounts"][0]["source"]["coupon"]}
    del coupon["applies_to"]
    told["discounts"][0]["source"]["coupon"] = coupon
    told["items"]["data"][0]["discounts"] = [{"id": "di_2", "source": {"type": "coupon", "coupon": "HALF"}}]
    async with stripe({"/v1/subscriptions/sub_1": lambda _: told}) as (api, _):
        found = await api.discounts("sub_1", {"di_2"})
    first, second, third = (found[one["id"]] for one in (*told["discounts"], {"id": "di_2"}))
    assert isinstance(first.embedded, Coupon)
    assert first.embedded.applies_to == ()
    assert (second.coupon, second.embedded) == ("HALF", None)
    assert third == Discount("di_2", coupon="HALF")


async def test_what_a_discount_took_off_that_is_over_is_told_by_invoices() -> None:
    whole = fixture("subscription", "2025-03-31.basil")
    over = {"id": "di_over", "deleted": True, "source": {"type": "coupon", "coupon": "HALF"}}
    of_item = {"id": "di_item", "coupon": {"id": "TEAM", "percent_off": 20}}
    invoices: list[dict[str, Any]] = [{"id": f"in_{n}", "discounts": ["di_other"]} for n in range(230)]
    invoices[120] = {"id": "in_120", "discounts": [over], "lines": {"data": [{"discounts": [of_item]}]}}

    def page(request: web.Request) -> Any:
        assert request.query["subscription"] == "sub_1"
        after = request.query.get("starting_after")
        start = 0 if after is None else int(after.removeprefix("in_")) + 1
        end = start + int(request.query["limit"])
        return {"object": "list", "data": invoices[start:end], "has_more": end < len(invoices)}

    answers: dict[str, Answer] = {"/v1/subscriptions/sub_1": lambda _: whole, "/v1/invoices": page}
    async with stripe(answers) as (api, asked):
        found = await api.discounts("sub_1", {"di_over", "di_item"})
        assert (found["di_over"].coupon, found["di_item"].coupon) == ("HALF", "TEAM")
        assert [request.path for request in asked].count("/v1/invoices") == 2, "no further than need be"
        assert "di_never" not in await api.discounts("sub_1", {"di_never"})


@pytest.mark.parametrize(
    ("status", "kind", "raised"),
    [
        (404, "invalid_request_error", NotFound),
        (400, "invalid_request_error", Refused),
        (401, "invalid_request_error", Refused),
        (403, "invalid_request_error", Refused),
        (429, "invalid_request_error", Away),
        (500, "api_error", Away),
    ],
)
async def test_no_answer_says_which_kind_and_of_what(status: int, kind: str, raised: type[NoAnswer]) -> None:
    async with stripe({"/v1/coupons/HALF": lambda _: (status, error(kind))}) as (api, _):
        with pytest.raises(raised, match="coupon HALF") as told:
            await api.coupon("HALF")
    assert "sk_test" not in str(told.value)
    assert "as Stripe says it" not in str(told.value)


async def test_without_a_key_nothing_is_fetched() -> None:
    with pytest.raises(NoKey, match="STRIPE_API_KEY"):
        await StripeApi(Stripe()).price("price_1")
