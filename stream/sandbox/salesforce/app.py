"""The HTTP shell: logins, and calls from the wire to the router and back, with all that can go wrong on demand."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any
from uuid import uuid4

from aiohttp import web

from stream.sandbox.salesforce import (
    bulk,
    chatter,
    collections,
    composite,
    describe,
    oauth,
    query,
    records,
    wire,
)
from stream.sandbox.salesforce.cursors import Cursors
from stream.sandbox.salesforce.errors import ApiError
from stream.sandbox.salesforce.faults import Fault
from stream.sandbox.salesforce.jobs import Jobs
from stream.sandbox.salesforce.oauth import OAuthError, Tokens
from stream.sandbox.salesforce.org import Org
from stream.sandbox.salesforce.resources import Answer, Call, Router, Work, call_of, refused
from stream.sandbox.salesforce.wire import json_response

log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 16_384  # of address and headers together: API Request Limits

ROUTES = (
    *describe.ROUTES,
    *collections.ROUTES,
    *composite.ROUTES,
    *query.ROUTES,
    *chatter.ROUTES,
    *bulk.ROUTES,
    *records.ROUTES,
)


class Dropped(Exception):
    """The connection is to be cut instead of answered."""


class Api:
    """What one running org answers with."""

    def __init__(self, org: Org) -> None:
        self.org = org
        self.jobs = Jobs(org)
        self.cursors = Cursors()
        self.tokens = Tokens(org.organization, time.monotonic)
        self.router = Router(ROUTES)

    def routes(self) -> list[web.RouteDef]:
        """Its part of an aiohttp application."""
        return [
            web.post("/services/oauth2/token", self.token),
            web.get("/services/data", self.versions),
            web.get("/services/data/", self.versions),
            web.route("*", "/services/data/{rest:.*}", self.data),
        ]

    async def versions(self, request: web.Request) -> web.Response:
        """The API versions; needs no login."""
        return json_response(describe.versions())

    async def token(self, request: web.Request) -> web.StreamResponse:
        """The token endpoint. Logins are no API calls: they are not counted against the day's."""
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        address = f"{request.scheme}://{request.host}"
        call = Call("POST", 0, "/services/oauth2/token", {})
        faults = self._faults(call, "login")
        try:
            if (refusal := await self._before(faults)) is not None:
                answer: web.StreamResponse = json_response(refusal.body, refusal.status)
            else:
                oauth.authorize(form, request.headers.get("Authorization", ""), self.org.identity, address)
                now = int(time.time() * 1000)
                answer = json_response(
                    oauth.granted(self.tokens.issue(), address, self.org.organization, self.org.user, now)
                )
                self._after(faults)
        except OAuthError as error:
            answer = json_response(error.body, 400)
        except Dropped:
            answer = _cut(request)
        self.org.calls["login", answer.status] += 1
        return answer

    async def data(self, request: web.Request) -> web.StreamResponse:
        """A call of the REST API."""
        operation = "unknown"
        try:
            operation, call = await self._read(request)
            answer = await self._answer(operation, call)
        except ApiError as error:
            answer = refused(error)
        except Dropped:
            self.org.calls[operation, 0] += 1
            return _cut(request)
        except Exception:
            name = uuid4()
            log.exception("The sandbox itself failed (ErrorId %s).", name)
            message = (
                f"An unexpected error occurred. Please include this ErrorId if you contact support: {name}"
            )
            answer = refused(ApiError(500, "UNKNOWN_EXCEPTION", message))
        self.org.calls[operation, answer.status] += 1
        return self._response(answer)

    async def _read(self, request: web.Request) -> tuple[str, Call]:
        """The operation and the call. A body that is no JSON is refused later, when it is known who asks."""
        head = len(request.raw_path) + sum(len(name) + len(value) + 4 for name, value in request.raw_headers)
        if head > MAX_HEAD_BYTES:
            raise ApiError(414, "URI_TOO_LONG", f"address and headers are over {MAX_HEAD_BYTES} bytes")
        call = call_of(request.method, request.raw_path, None, request.headers)
        if request.content_type.startswith("multipart/"):
            call.body, call.attachment = await wire.parts(request)
        else:
            call.body = await request.read()
        return self.router.find(call).operation, call

    async def _answer(self, operation: str, call: Call) -> Answer:
        told = wire.decoded(call) if operation != "bulk-upload" else call.body
        faults = self._faults(call, operation, None if isinstance(told, ApiError) else told)
        if (refusal := await self._before(faults)) is not None:
            return refusal
        self._check_token(call)
        self._check_quota()
        if isinstance(told, ApiError):
            self.org.calls_used.use()
            raise told
        call.body = told
        answer, locked = await self.org.transact(
            lambda dml: self.router.answer(Work(self.org, dml, self.jobs, self.cursors, self.router), call)
        )
        self.org.calls_used.use(answer.cost)
        try:
            await asyncio.sleep(self.org.options.latency_seconds)
        finally:
            self.org.locks.free(locked)
        self._after(faults)
        return answer

    def _faults(self, call: Call, operation: str, body: Any = None) -> list[Fault]:
        return self.org.faults.of_call(
            operation=operation, object_=wire.object_of(call, body), method=call.method, path=call.path
        )

    async def _before(self, faults: list[Fault]) -> Answer | None:
        """What goes wrong before anything is done. Raises Dropped."""
        for fault in faults:
            if fault.do == "delay":
                await asyncio.sleep(fault.seconds)
            elif fault.do == "expire-tokens":
                self.tokens.expire()
        for fault in faults:
            if fault.do == "drop":
                raise Dropped
            if fault.do == "answer":
                return refused(ApiError(fault.status, fault.code, fault.message, *fault.fields))
        return None

    def _after(self, faults: list[Fault]) -> None:
        if any(fault.do == "drop-after" for fault in faults):
            raise Dropped

    def _check_token(self, call: Call) -> None:
        scheme, _, token = call.headers.get("Authorization", "").partition(" ")
        if scheme not in ("Bearer", "OAuth") or not self.tokens.use(token.strip(), self.org.options):
            raise ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")

    def _check_quota(self) -> None:
        if self.org.calls_used.used >= self.org.options.daily_limit:
            raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")

    def _response(self, answer: Answer) -> web.Response:
        usage = f"api-usage={self.org.calls_used.used}/{self.org.options.daily_limit}"
        headers = {"Sforce-Limit-Info": usage, **answer.headers}
        if answer.body is None:
            return web.Response(status=answer.status, headers=headers)
        if answer.content_type == "application/json":
            return json_response(answer.body, answer.status, headers)
        return web.Response(
            status=answer.status,
            text=str(answer.body),
            headers=headers,
            content_type=answer.content_type,
            charset="utf-8",
        )


def _cut(request: web.Request) -> web.Response:
    """Ends the connection; the response is for the count alone, and never arrives."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
