"""Stripe's own SDK talks to the API over the world's truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import aiohttp
import msgspec
import pytest
import stripe

from stream.sandbox.stripe.api import StripeApiServer
from stream.sandbox.stripe.objects import Thing
from tests.unit.sandbox_stripe import things
from tests.unit.sandbox_stripe.things import ACACIA, ALL, ENDIVE, OLD, World

KEY = "sk_test_sandbox"
CONNECTED = "acct_1Connected"

Connect = Callable[..., stripe.StripeClient]


def world() -> World:
    foreign = msgspec.structs.replace(things.CUSTOMER, account=CONNECTED, name="Somebody else")
    gone = msgspec.structs.replace(things.CUSTOMER, id="cus_Gone0000000001", deleted=True)
    ended = msgspec.structs.replace(
        things.SUBSCRIPTION, id="sub_1Ended000000000000000000", created=things.AT + 5, status="canceled"
    )
    it = World((*ALL, foreign, gone, ended))
    book = things.book(ACACIA)
    for number in range(25):
        type_ = "customer.updated" if number % 2 else "invoice.paid"
        thing: Thing = things.CUSTOMER if number % 2 else things.INVOICE
        book.tell(type_, thing, things.AT + number // 3, thing if number % 2 else None)
    book.tell("customer.created", foreign, things.AT)
    it.events = book.events
    return it


@pytest.fixture
async def server() -> AsyncIterator[StripeApiServer]:
    async with StripeApiServer(world(), key=KEY) as it:
        yield it


@pytest.fixture
async def connect(server: StripeApiServer) -> AsyncIterator[Connect]:
    clients: list[stripe.AIOHTTPClient] = []

    def client(key: str = KEY, retries: int = 0, **options: Any) -> stripe.StripeClient:
        clients.append(stripe.AIOHTTPClient(timeout=60))
        return stripe.StripeClient(
            key,
            base_addresses={"api": server.url},
            http_client=clients[-1],
            max_network_retries=retries,
            **options,
        )

    yield client
    for one in clients:
        await one.close_async()  # type: ignore[no-untyped-call]


def plain(answer: Any) -> dict[str, Any]:
    told: dict[str, Any] = answer.to_dict(for_json=True)
    return told


async def test_every_noun_is_found(connect: Connect) -> None:
    v1 = connect().v1
    found = [
        await v1.customers.retrieve_async(things.CUSTOMER.id),
        await v1.prices.retrieve_async(things.FLAT.id),
        await v1.products.retrieve_async(things.PRODUCT.id),
        await v1.coupons.retrieve_async(things.COUPON.id),
        await v1.subscriptions.retrieve_async(things.SUBSCRIPTION.id),
        await v1.invoices.retrieve_async(things.INVOICE.id),
        await v1.charges.retrieve_async(things.CHARGE.id),
        await v1.disputes.retrieve_async(things.DISPUTE.id),
        await v1.payment_intents.retrieve_async(things.INTENT.id),
        await v1.refunds.retrieve_async(things.REFUND.id),
        await v1.payment_methods.retrieve_async(things.CARD.id),
    ]
    assert [type(it).__name__ for it in found] == [
        "Customer", "Price", "Product", "Coupon", "Subscription", "Invoice", "Charge", "Dispute",
        "PaymentIntent", "Refund", "PaymentMethod",
    ]  # fmt: skip
    assert plain(found[0])["address"]["city"] == "Paris"


async def test_a_price_with_its_tiers_and_product(connect: Connect) -> None:
    prices = connect().v1.prices
    bare = plain(await prices.retrieve_async(things.TIERED.id))
    assert "tiers" not in bare
    full = await prices.retrieve_async(things.TIERED.id, {"expand": ["tiers", "product", "currency_options"]})
    assert [tier["up_to"] for tier in plain(full)["tiers"]] == [5, None]
    assert plain(full)["product"]["name"] == "Team"
    listed = await prices.list_async({"expand": ["data.tiers"], "product": things.PRODUCT.id})
    assert [bool(plain(price)["tiers"]) for price in listed.data] == [True, False]


async def test_the_version_picks_the_shape(connect: Connect) -> None:
    ours = plain(await connect().v1.subscriptions.retrieve_async(things.SUBSCRIPTION.id))
    assert "current_period_end" not in ours
    options: stripe.RequestOptions = {"stripe_version": OLD}
    old = await connect().v1.subscriptions.retrieve_async(things.SUBSCRIPTION.id, options=options)
    assert plain(old)["current_period_end"] == ours["items"]["data"][0]["current_period_end"]
    assert old.last_response
    assert old.last_response.headers["Stripe-Version"] == OLD


async def test_a_connected_account_has_its_own(connect: Connect) -> None:
    customers = connect().v1.customers
    options: stripe.RequestOptions = {"stripe_account": CONNECTED}
    own = await customers.retrieve_async(things.CUSTOMER.id)
    theirs = await customers.retrieve_async(things.CUSTOMER.id, options=options)
    assert (own.name, theirs.name) == ("Zoé Lefèvre", "Somebody else")
    with pytest.raises(stripe.InvalidRequestError):
        await connect().v1.prices.retrieve_async(things.FLAT.id, options=options)
    events = await connect().v1.events.list_async(options=options)
    assert [event.account for event in events.data] == [CONNECTED]


async def test_subscriptions_of_a_customer(connect: Connect) -> None:
    subscriptions = connect().v1.subscriptions
    living = await subscriptions.list_async({"customer": things.CUSTOMER.id})
    assert [it.id for it in living.data] == [things.SUBSCRIPTION.id]
    every = await subscriptions.list_async({"customer": things.CUSTOMER.id, "status": "all"})
    assert [it.status for it in every.data] == ["canceled", "active"]
    assert not (await subscriptions.list_async({"customer": "cus_Other"})).data


async def test_what_is_not_there(connect: Connect) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="No such customer: 'cus_nobody'") as missing:
        await connect().v1.customers.retrieve_async("cus_nobody")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        await connect().v1.prices.retrieve_async(things.FLAT.id, {"expand": ["nonsense"]})
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL"):
        await connect().v1.quotes.retrieve_async("qt_1")
    gone = await connect().v1.customers.retrieve_async("cus_Gone0000000001")
    assert plain(gone) == {"id": "cus_Gone0000000001", "object": "customer", "deleted": True}


@pytest.mark.parametrize("key", ["sk_test_other", "sk_test_sandbox2"])
async def test_another_key_is_refused(connect: Connect, key: str) -> None:
    with pytest.raises(stripe.AuthenticationError) as refused:
        await connect(key).v1.customers.retrieve_async(things.CUSTOMER.id)
    assert refused.value.http_status == 401
    assert key not in str(refused.value)


async def test_no_key_and_basic_authentication(server: StripeApiServer) -> None:
    url = f"{server.url}/v1/prices/{things.FLAT.id}"
    async with aiohttp.ClientSession() as session:
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Basic %%%"}, 401),
            ({"Authorization": f"Basic {_basic(KEY)}"}, 200),
        ):
            async with session.get(url, headers=headers) as answer:
                assert answer.status == status
                assert answer.headers["Request-Id"].startswith("req_")


def _basic(key: str) -> str:
    return aiohttp.encode_basic_auth(key, "").partition(" ")[2]


async def test_events_newest_first_and_paged(connect: Connect, server: StripeApiServer) -> None:
    told = [event.id for event in world().events if event.account is None]
    events = connect().v1.events
    first = await events.list_async()
    assert [event.id for event in first.data] == told[::-1][:10]
    assert first.has_more
    every = await events.list_async({"limit": 7})
    assert [event.id async for event in every.auto_paging_iter()] == told[::-1]
    newer = await events.list_async({"ending_before": told[4], "limit": 7})
    assert [event.id async for event in newer.auto_paging_iter()] == told[5:]
    assert server.calls["events"] > 6
    one = await events.retrieve_async(told[3])
    assert one.type == "customer.updated"
    assert one.api_version == ACACIA


async def test_events_by_type_and_time(connect: Connect) -> None:
    events = connect().v1.events
    paid = await events.list_async({"types": ["invoice.paid"], "limit": 100, "delivery_success": False})
    assert len(paid.data) == 13
    assert {event.type for event in paid.data} == {"invoice.paid"}
    late = await events.list_async({"created": {"gte": things.AT + 8}, "type": "customer.updated"})
    assert [event.created for event in late.data] == []
    late = await events.list_async({"created": {"gte": things.AT + 7, "lt": things.AT + 8}})
    assert {event.created for event in late.data} == {things.AT + 7}
    # The cursor may lie outside of what is asked for.
    oldest = world().events[0].id
    after = await events.list_async({"created": {"gte": things.AT + 7}, "ending_before": oldest})
    assert len(after.data) == 4


@pytest.mark.parametrize("query", [{"limit": 101}, {"limit": 0}, {"starting_after": "evt_none"}])
async def test_a_bad_page_is_refused(connect: Connect, query: dict[str, Any]) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        await connect().v1.events.list_async(cast(Any, query))


async def test_faults_on_demand(connect: Connect, server: StripeApiServer) -> None:
    customers = connect().v1.customers
    server.fail(429, path="/customers")
    with pytest.raises(stripe.RateLimitError):
        await customers.retrieve_async(things.CUSTOMER.id)
    assert (await customers.retrieve_async(things.CUSTOMER.id)).id == things.CUSTOMER.id
    server.fail(503, times=2)
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            await connect().v1.prices.retrieve_async(things.FLAT.id)
    assert server.calls == {"customers/{id}": 2, "prices/{id}": 2}
    assert not server.faults


async def test_the_sdk_comes_again_by_itself(connect: Connect, server: StripeApiServer) -> None:
    server.fail(500)
    found = await connect(retries=1).v1.customers.retrieve_async(things.CUSTOMER.id)
    assert found.id == things.CUSTOMER.id
    assert server.calls["customers/{id}"] == 2


async def test_a_slow_answer(connect: Connect, server: StripeApiServer) -> None:
    server.fail(None, seconds=30)
    slow = asyncio.create_task(connect().v1.customers.retrieve_async(things.CUSTOMER.id))
    async with asyncio.timeout(60):
        while not server.calls["customers/{id}"]:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert not slow.done()
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow


async def test_the_shape_of_a_default_version(server: StripeApiServer) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.get(f"{server.url}/v1/invoices/{things.INVOICE.id}") as answer:
            assert answer.headers["Stripe-Version"] == ENDIVE
            assert "parent" in await answer.json()
        async with session.post(f"{server.url}/v1/invoices/{things.INVOICE.id}") as answer:
            assert answer.status == 404


def test_a_blank_key_is_refused() -> None:
    with pytest.raises(ValueError, match="blank"):
        StripeApiServer(world(), key=" ")
