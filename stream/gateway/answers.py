"""What the gateway answers: a status, and a JSON body whose sentence tells what to do. Each is counted here."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal, get_args

import msgspec

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
_ALSO: dict[HTTPStatus, str] = {
    HTTPStatus.METHOD_NOT_ALLOWED: "Allow: POST\r\n",
    HTTPStatus.SERVICE_UNAVAILABLE: "Retry-After: 5\r\n",
}

_counted = {reason: metrics.WEBHOOKS_REJECTED.labels(reason) for reason in REASONS}
_codes = {
    status: metrics.HTTP_REQUESTS.labels(str(int(status)))
    for status in (HTTPStatus.OK, HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR, *_STATUS.values())
}

# The sender asked whether it may send its body.
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Refusal(Exception):
    """A request that is answered with an error. The message never quotes what was sent."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = _STATUS.get(reason, HTTPStatus.BAD_REQUEST)


def _answer(status: HTTPStatus, body: bytes, *, stay: bool) -> bytes:
    head = (
        f"HTTP/1.1 {status} {status.phrase}\r\nContent-Type: application/json\r\n{_ALSO.get(status, '')}"
        f"Content-Length: {len(body)}\r\nConnection: {'keep-alive' if stay else 'close'}\r\n\r\n"
    )
    return head.encode() + body


_KEPT = {stay: _answer(HTTPStatus.OK, b'{"kept":true}\n', stay=stay) for stay in (False, True)}
_count_kept = _codes[HTTPStatus.OK].inc


def kept(*, stay: bool) -> bytes:
    """200: Kafka has the event. `stay` keeps the connection open."""
    _count_kept()
    return _KEPT[stay]


def refused(refusal: Refusal, *, stay: bool) -> bytes:
    """The answer to a refused request, which is counted by its reason."""
    _counted[refusal.reason].inc()
    return _error(refusal.status, refusal.reason, str(refusal), stay=stay)


def failed() -> bytes:
    """500: a fault of our own. Stripe tries again. The connection ends."""
    return _error(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal_error",
        "The gateway failed on this request and kept nothing; its log has the reason. Send it again.",
        stay=False,
    )


def _error(status: HTTPStatus, error: str, message: str, *, stay: bool) -> bytes:
    _codes[status].inc()
    return _answer(status, msgspec.json.encode({"error": error, "message": message}) + b"\n", stay=stay)
