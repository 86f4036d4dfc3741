"""Webhooks are sent as Stripe sends them: signed anew each time, in any order, until they are taken."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest
import stripe
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from stream.sandbox.stripe.book import StripeEvent
from stream.sandbox.stripe.delivery import Manner, deliver, order
from tests.unit.sandbox_stripe import things

SECRET = "whsec_delivery"
Answer = Callable[[int, str], int]


def events(count: int) -> list[StripeEvent]:
    book = things.book(things.ENDIVE)
    for number in range(count):
        book.tell("customer.updated", things.CUSTOMER, things.AT + number, things.CUSTOMER)
    return book.events


class Endpoint:
    """Takes webhooks with Stripe's own verification; `answer` gets how often an event came, and its ID."""

    def __init__(self) -> None:
        self.url = ""
        self.came: list[str] = []
        self.headers: list[str] = []
        self.open = self.most_open = 0
        self.answer: Answer = lambda _times, _id: 200

    async def handle(self, request: web.Request) -> web.Response:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        body = await request.read()
        self.headers.append(request.headers["Stripe-Signature"])
        stripe.WebhookSignature.verify_header(body.decode(), self.headers[-1], SECRET, 300)
        id_ = json.loads(body)["id"]
        self.came.append(id_)
        status = self.answer(self.came.count(id_), id_)
        self.open -= 1
        if status == 0:
            assert request.transport
            request.transport.abort()
        return web.Response(status=status or 200, headers={"Location": "/elsewhere"} if status == 302 else {})


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    it = Endpoint()
    app = web.Application()
    app.router.add_post("/hook", it.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    it.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield it
    await runner.cleanup()


FAST = Manner(backoff=0.001, longest_backoff=0.01)


async def test_all_events_arrive_signed_and_are_counted(endpoint: Endpoint) -> None:
    sent = events(30)
    told: list[tuple[int, int]] = []
    came = await deliver(sent, endpoint.url, SECRET, FAST, progress=lambda *at: told.append(at))
    assert came.accepted_ids == {event.id for event in sent}
    assert (came.deliveries, came.sent, came.accepted, came.retried) == (30, 30, 30, 0)
    assert told == [(number, 30) for number in range(1, 31)]
    assert endpoint.most_open <= FAST.concurrency


async def test_one_at_a_time_keeps_the_order(endpoint: Endpoint) -> None:
    sent = events(20)
    await deliver(sent, endpoint.url, SECRET, msgspec.structs.replace(FAST, concurrency=1))
    assert endpoint.came == [event.id for event in sent]
    assert endpoint.most_open == 1


@pytest.mark.parametrize("refusal", [503, 400, 302, 0])
async def test_a_refused_event_comes_again(endpoint: Endpoint, refusal: int) -> None:
    endpoint.answer = lambda times, _: refusal if times < 3 else 200
    came = await deliver(events(5), endpoint.url, SECRET, FAST)
    assert (came.sent, came.accepted, came.retried) == (15, 5, 10)
    assert not came.undelivered
    assert came.unreachable == (10 if refusal == 0 else 0)


async def test_patience_ends(endpoint: Endpoint) -> None:
    sent = events(3)
    endpoint.answer = lambda _, id_: 500 if id_ == sent[1].id else 204
    came = await deliver(sent, endpoint.url, SECRET, msgspec.structs.replace(FAST, patience=0.05))
    assert came.undelivered == {sent[1].id}
    assert came.accepted_ids == {sent[0].id, sent[2].id}
    assert came.answers[204] == 2


async def test_nobody_there_is_no_crash() -> None:
    manner = msgspec.structs.replace(FAST, patience=0.02)
    came = await deliver(events(2), "http://127.0.0.1:9/hook", SECRET, manner)
    assert len(came.undelivered) == 2
    assert came.unreachable == came.sent >= 2


async def test_duplicates_are_whole_deliveries(endpoint: Endpoint) -> None:
    sent = events(40)
    manner = msgspec.structs.replace(FAST, duplicates=0.5, shuffle=True)
    came = await deliver(sent, endpoint.url, SECRET, manner)
    assert set(Counter(endpoint.came).values()) == {1, 2}
    assert came.deliveries == came.accepted == len(endpoint.came) > 40


async def test_a_blank_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="blank"):
        await deliver(events(1), "http://127.0.0.1:9/hook", "  ")


@given(
    count=st.integers(0, 60),
    window=st.none() | st.integers(1, 20),
    duplicates=st.sampled_from((0.0, 0.3, 1.0)),
    seed=st.integers(0, 99),
)
def test_no_event_is_lost_and_none_comes_too_early(
    count: int, window: int | None, duplicates: float, seed: int
) -> None:
    sent = events(count)
    manner = Manner(shuffle=True, window=window, duplicates=duplicates, seed=seed)
    ordered = [event.id for event in order(sent, manner)]
    assert ordered == [event.id for event in order(sent, manner)]
    assert set(ordered) == {event.id for event in sent}
    assert max(Counter(ordered).values(), default=0) <= 2
    assert len(ordered) == count * 2 or duplicates < 1
    if window:
        place = {event.id: number for number, event in enumerate(sent)}
        furthest = -1
        for id_ in ordered:
            assert furthest - place[id_] <= window
            furthest = max(furthest, place[id_])


def test_without_shuffling_only_duplicates_are_late() -> None:
    sent = events(50)
    assert order(sent, Manner()) == sent
    first = list(dict.fromkeys(event.id for event in order(sent, Manner(duplicates=0.5))))
    assert first == [event.id for event in sent]
    mixed = order(sent, Manner(shuffle=True))
    assert mixed != sent
    assert sorted(event.id for event in mixed) == sorted(event.id for event in sent)
