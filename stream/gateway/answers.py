"""What the gateway answers: a status, and a JSON body whose sentence tells what to do."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal, get_args

import msgspec
from aiohttp import web

from stream import metrics

Reason = Literal[
    "bad_request",
    "bad_signature",
    "cloud_event",
    "eventbridge",
    "kafka_timeout",
    "kafka_unavailable",
    "method_not_allowed",
    "not_found",
    "overloaded",
    "stale",
    "thin_event",
    "too_large",
    "too_slow",
    "unreadable",
]
REASONS: tuple[Reason, ...] = get_args(Reason)

_STATUS: dict[Reason, HTTPStatus] = {
    "kafka_timeout": HTTPStatus.SERVICE_UNAVAILABLE,
    "kafka_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "not_found": HTTPStatus.NOT_FOUND,
    "overloaded": HTTPStatus.SERVICE_UNAVAILABLE,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "too_slow": HTTPStatus.REQUEST_TIMEOUT,
}

# Stripe has its own back-off; this is for the load balancers and clients that heed the header.
RETRY_AFTER_SECONDS = 5

_JSON = {"Content-Type": "application/json"}
_KEPT = b'{"kept":true}\n'

_counted = {reason: metrics.WEBHOOKS_REJECTED.labels(reason) for reason in REASONS}
_codes = {
    int(status): metrics.HTTP_REQUESTS.labels(str(int(status)))
    for status in (HTTPStatus.OK, HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR, *_STATUS.values())
}


def _head(status: HTTPStatus, body: bytes, connection: str) -> bytes:
    return (
        f"HTTP/1.1 {status} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: {connection}\r\n\r\n"
    ).encode()


class Refusal(Exception):
    """A request that is answered with an error. The message never quotes what was sent.

    `unread` says that the rest of the body is not worth reading, so the connection ends with the answer.
    """

    def __init__(self, reason: Reason, message: str, *, unread: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = _STATUS.get(reason, HTTPStatus.BAD_REQUEST)
        self.unread = unread


class Kept(web.StreamResponse):
    """200: Kafka has the event. Always the same bytes, written at once, on a connection that stays.

    One instance serves every request: it holds nothing of them. A `web.Response` for each took a tenth of the
    gateway's time.
    """

    _BYTES = _head(HTTPStatus.OK, _KEPT, "keep-alive") + _KEPT

    @property
    def keep_alive(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> None:
        _codes[200].inc()
        if (
            request.transport is not None
        ):  # the sender may have gone meanwhile; the event is kept all the same
            request.transport.write(self._BYTES)

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""


_KEPT_AND_STAY = Kept()


def kept(*, stay: bool) -> web.StreamResponse:
    """200: Kafka has the event. `stay` keeps the connection open."""
    if stay:
        return _KEPT_AND_STAY
    _codes[200].inc()
    response = web.Response(body=_KEPT, headers=_JSON)
    response.force_close()
    return response


def refused(refusal: Refusal) -> web.Response:
    """The answer to a refused request, which is counted by its reason."""
    _counted[refusal.reason].inc()
    response = _error(refusal.status, refusal.reason, str(refusal))
    if refusal.status == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = "POST"
    elif refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if refusal.unread:
        response.force_close()
    return response


def failed() -> web.Response:
    """500: a fault of our own. Stripe tries again."""
    return _error(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal_error",
        "The gateway failed on this request and kept nothing; its log has the reason. Send it again.",
    )


def _error(status: HTTPStatus, error: str, message: str) -> web.Response:
    _codes[status].inc()
    return web.Response(
        status=status, body=msgspec.json.encode({"error": error, "message": message}) + b"\n", headers=_JSON
    )


def raw(refusal: Refusal) -> bytes:
    """A whole answer as bytes, for a connection on which no request has been read. It is counted too."""
    response = refused(refusal)
    body = bytes(response.body)  # type: ignore[arg-type]
    return _head(refusal.status, body, "close") + body
