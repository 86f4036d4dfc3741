"""Stripe's API over the world's truth, on loopback, for whoever has to look something up."""

from __future__ import annotations

import asyncio
import hmac
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

import msgspec
from aiohttp import BasicAuth, web

from stream.sandbox.stripe import render
from stream.sandbox.stripe.book import StripeEvent
from stream.sandbox.stripe.objects import (
    Charge,
    Coupon,
    CreditNote,
    Customer,
    Dispute,
    Invoice,
    PaymentIntent,
    PaymentMethod,
    Price,
    Product,
    Refund,
    Subscription,
    Thing,
    key_of,
)
from stream.sandbox.stripe.pages import BadParameter, L, page
from stream.sandbox.stripe.render import customer, form

# What an account without a version of its own gets: the newest that is known here.
DEFAULT_VERSION = "2026-09-30.endive"

_KINDS: dict[str, type[Thing]] = {
    "charges": Charge,
    "coupons": Coupon,
    "credit_notes": CreditNote,
    "customers": Customer,
    "disputes": Dispute,
    "invoices": Invoice,
    "payment_intents": PaymentIntent,
    "payment_methods": PaymentMethod,
    "prices": Price,
    "products": Product,
    "refunds": Refund,
    "subscriptions": Subscription,
}

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Truth(Protocol):
    """What is true: things by their key (`cus_…`, `acct_…/cus_…`), and events in true order."""

    @property
    def things(self) -> Mapping[str, Thing]: ...
    @property
    def events(self) -> Sequence[StripeEvent]: ...


class Fault(msgspec.Struct):
    """What the next `times` calls meet: they wait `seconds`, then get `status` (None: their answer). `path` is
    what the call's path must contain."""

    times: int = 1
    status: int | None = None
    seconds: float = 0.0
    path: str = ""


class _Refused(Exception):
    """An answer in Stripe's error shape (docs.stripe.com/api/errors)."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        told = {"code": code, "message": message, "param": param, "type": _error_type(status)}
        self.error = {name: value for name, value in told.items() if value is not None}


class StripeApiServer:
    """Stripe's API, read only. `key` is the secret key that calls must bear; the world may change meanwhile.

    >>> async with StripeApiServer(world, key="sk_test_…") as server:  # doctest: +SKIP
    ...     stripe.StripeClient("sk_test_…", base_addresses={"api": server.url})
    """

    def __init__(
        self, world: Truth, *, key: str, host: str = "127.0.0.1", port: int = 0, livemode: bool = False
    ) -> None:
        if not key.strip():
            raise ValueError("the API key is blank")
        self._world = world
        self._key = key
        self._host = host
        self._port = port
        self._livemode = livemode
        self._runner: web.AppRunner | None = None
        self._number = 0
        self.faults: list[Fault] = []
        self.calls: Counter[str] = Counter()
        self.url = ""

    async def start(self) -> None:
        """Listens; port 0 takes any free one. Raises OSError when a port is taken."""
        app = web.Application(middlewares=[self._around])
        app.router.add_get("/v1/{kind}", self._list)
        app.router.add_get("/v1/{kind}/{id}", self._retrieve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self.url = f"http://{self._host}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Lets go of the port."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def fail(self, status: int | None = 500, *, times: int = 1, seconds: float = 0.0, path: str = "") -> None:
        """The next calls (whose path contains `path`) wait, and fail; with `status` None they only wait."""
        self.faults.append(Fault(times=times, status=status, seconds=seconds, path=path))

    @web.middleware
    async def _around(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Counts, checks the key, lets faults happen, and turns every refusal into Stripe's error shape."""
        self._number += 1
        headers = {"Request-Id": f"req_{self._number:014d}", "Stripe-Version": _version(request)}
        if account := request.headers.get("Stripe-Account"):
            headers["Stripe-Account"] = account
        self.calls[_counted(request.path)] += 1
        try:
            self._believe(request)
            await self._go_wrong(request.path)
            answer = await handler(request)
        except _Refused as refused:
            answer = _answer({"error": refused.error}, refused.status)
            if refused.status in (429, 500, 502, 503, 504):
                headers["Stripe-Should-Retry"] = "true"
        except web.HTTPException:
            message = f"Unrecognized request URL ({request.method}: {request.path})."
            answer = _answer({"error": {"message": message, "type": "invalid_request_error"}}, 404)
        answer.headers.update(headers)
        return answer

    def _believe(self, request: web.Request) -> None:
        """The key comes as a bearer, or as the user of Basic authentication. Its text is not told again."""
        given = request.headers.get("Authorization", "")
        if not given:
            raise _Refused(
                401,
                "You did not provide an API key. You need to provide your API key in the Authorization header, "
                "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
            )
        scheme, _, text = given.partition(" ")
        if scheme.lower() == "basic":
            try:
                text = BasicAuth.decode(given).login
            except ValueError:
                text = ""
        if not hmac.compare_digest(text.strip().encode(errors="replace"), self._key.encode()):
            raise _Refused(401, f"Invalid API Key provided: {text[:8]}****")

    async def _go_wrong(self, path: str) -> None:
        for fault in [fault for fault in self.faults if fault.path in path][:1]:
            fault.times -= 1
            if fault.times <= 0:
                self.faults.remove(fault)
            await asyncio.sleep(fault.seconds)
            if fault.status is not None:
                code = "rate_limit" if fault.status == 429 else None
                raise _Refused(fault.status, "An unexpected error was asked for.", code=code)

    async def _retrieve(self, request: web.Request) -> web.Response:
        kind, id_ = request.match_info["kind"], request.match_info["id"]
        account = request.headers.get("Stripe-Account")
        if kind == "events":
            events = [it for it in self._world.events if it.id == id_ and it.account == account]
            if not events:
                raise _Refused(404, f"No such event: '{id_}'", code="resource_missing", param="id")
            return _answer(render.event(events[0]))
        if kind not in _KINDS:
            raise web.HTTPNotFound
        it = self._world.things.get(key_of(account, id_))
        if not isinstance(it, _KINDS[kind]) or (isinstance(it, Coupon) and it.deleted):
            noun = kind.removesuffix("s")
            raise _Refused(404, f"No such {noun}: '{id_}'", code="resource_missing", param=_param(noun))
        if isinstance(it, Customer) and it.deleted:
            return _answer(customer.gone(it.id, "customer"))
        return _answer(self._rendered(it, request, _expand(request)))

    async def _list(self, request: web.Request) -> web.Response:
        kind = request.match_info["kind"]
        if kind == "events":
            return self._list_events(request)
        if kind not in _KINDS:
            raise web.HTTPNotFound
        query = dict(request.query)
        # Stripe lists canceled subscriptions only when it is asked for them.
        hides_canceled = kind == "subscriptions" and "status" not in query
        wanted = [(name, query[name]) for name in _FILTERS if name in query]

        def fits(it: Thing) -> bool:
            if getattr(it, "deleted", False) or (hides_canceled and getattr(it, "status", "") == "canceled"):
                return False
            return all(_fits(it, name, value) for name, value in wanted)

        account = request.headers.get("Stripe-Account")
        everything = [
            it for it in self._world.things.values() if isinstance(it, _KINDS[kind]) and it.account == account
        ]
        paths = []
        for path in _expand(request):
            if not path.startswith("data."):
                raise _Refused(400, f"This property cannot be expanded ({path}).", param="expand")
            paths.append(path.removeprefix("data."))
        shown, more = _page(everything, query, fits)
        data = [self._rendered(it, request, paths) for it in shown]
        return _answer(form.listed(data, request.path, more=more, counted=False))

    def _list_events(self, request: web.Request) -> web.Response:
        """The events of one account, newest first; each in the version in which it was told."""
        query = request.query
        types = {value for name, value in query.items() if name == "type" or name.startswith("types[")}
        account = request.headers.get("Stripe-Account")
        everything = [event for event in self._world.events if event.account == account]
        shown, more = _page(everything, dict(query), lambda event: not types or event.type in types)
        data = [render.event(event) for event in shown]
        return _answer(form.listed(data, request.path, more=more, counted=False))

    def _rendered(self, it: Thing, request: web.Request, expand: Iterable[str]) -> form.Json:
        things = self._world.things
        try:
            return render.thing(it, _version(request), expand, things, livemode=self._livemode)
        except render.NotExpandable as wrong:
            raise _Refused(400, str(wrong), param="expand") from wrong


_FILTERS = ("customer", "subscription", "invoice", "charge", "payment_intent", "product", "status", "active")


def _fits(it: Thing, name: str, wanted: str) -> bool:
    if name == "status" and wanted == "all":
        return True
    value = getattr(it, name, None)
    return (str(value).lower() if isinstance(value, bool) else value) == wanted


def _page(found: Sequence[L], query: Mapping[str, str], fits: Callable[[L], bool]) -> tuple[list[L], bool]:
    """Sorted by second; within one, what came first in the truth is the older."""
    try:
        return page(sorted(found, key=lambda it: it.created), query, fits)
    except BadParameter as wrong:
        raise _Refused(400, str(wrong), code=wrong.code, param=wrong.param) from wrong


def _expand(request: web.Request) -> list[str]:
    """`expand[]=a` or `expand[0]=a`, as clients write it."""
    return [value for name, value in request.query.items() if name.startswith("expand[")]


def _version(request: web.Request) -> str:
    return request.headers.get("Stripe-Version") or DEFAULT_VERSION


def _param(noun: str) -> str:
    """How Stripe calls the ID that it did not find."""
    return {"payment_intent": "intent", "coupon": "coupon", "price": "price"}.get(noun, "id")


def _counted(path: str) -> str:
    """`/v1/prices/price_1…` counts as `prices/{id}`: what was called, without the ID."""
    kind, slash, _ = path.removeprefix("/v1/").partition("/")
    return f"{kind}/{{id}}" if slash else kind


def _error_type(status: int) -> str:
    return "api_error" if status >= 500 else "invalid_request_error"


def _answer(told: form.Json, status: int = 200) -> web.Response:
    body = msgspec.json.format(msgspec.json.encode(told), indent=2)
    return web.Response(body=body, status=status, content_type="application/json")
