"""What is read of an event, and what is told of a body that is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream.stripe import envelope
from stream.stripe.envelope import EnvelopeError

EVENT: dict[str, Any] = {
    "id": "evt_1",
    "object": "event",
    "account": "acct_9",
    "api_version": "2020-08-27",
    "created": 1_760_000_000,
    "data": {"object": {"id": "cus_1", "object": "customer"}},
    "livemode": True,
    "type": "customer.created",
}
SECRET_TEXT = "jane@example.com"


def body(**changes: Any) -> bytes:
    return json.dumps({**EVENT, **changes}).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in EVENT.items() if key != name}).encode()


def refused(raw: bytes) -> EnvelopeError:
    with pytest.raises(EnvelopeError) as caught:
        envelope.read(raw)
    assert SECRET_TEXT not in str(caught.value)
    return caught.value


def test_an_event_is_read() -> None:
    read = envelope.read(body())
    assert (read.id, read.type, read.created) == ("evt_1", "customer.created", 1_760_000_000)
    assert (read.account, read.api_version, read.livemode) == ("acct_9", "2020-08-27", True)


@pytest.mark.parametrize("name", ["account", "api_version", "livemode", "object"])
def test_what_an_event_may_lack(name: str) -> None:
    assert envelope.read(without(name)).id == "evt_1"


def test_an_api_version_may_be_null() -> None:
    assert envelope.read(body(api_version=None)).api_version is None


def test_an_unknown_type_is_an_event_like_any_other() -> None:
    raw = body(type="moon.landed", data={"object": {"id": 7, "object": ["new"]}, "new": {}}, new=[1])
    assert envelope.read(raw).type == "moon.landed"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"event"',
        b"{}",
        b"\xef\xbb\xbf" + body(),
        body()[:-1],
        body() + b"{}",
        body().replace(b"evt_1", b"evt\x00"),
        body().replace(b"evt_1", b"evt\xff" + SECRET_TEXT.encode()),
        body().replace(b"evt_1", b"evt\\ud800"),
        body(new=0).replace(b'"new": 0', b'"new": ' + b"[" * 200_000),
        body(new=0).replace(b'"new": 0', b'"new": NaN'),
        without("id"),
        without("type"),
        without("created"),
        without("data"),
        body(id=""),
        body(id=None),
        body(id="e" * 256),
        body(type="t" * 256),
        body(account="a" * 256),
        body(account=7),
        body(created="2026-11-24T00:00:00Z"),
        body(livemode="yes"),
        body(data=[]),
        body(data={}),
        body(data={"object": None}),
        body(object="list"),
        json.dumps({"object": "list", "data": [EVENT], "email": SECRET_TEXT}).encode(),
    ],
)
def test_what_is_no_event_is_unreadable(raw: bytes) -> None:
    assert refused(raw).reason == "unreadable"


def test_ids_may_be_as_long_as_stripe_says() -> None:
    assert len(envelope.read(body(id="e" * 255)).id) == 255


def test_of_a_key_given_twice_the_last_counts_as_it_does_for_the_projector() -> None:
    raw = body().replace(b'"id": "evt_1"', b'"id": "evt_0", "id": "evt_1"')
    assert envelope.read(raw).id == "evt_1" == json.loads(raw)["id"]


def test_a_thin_event_is_recognised() -> None:
    thin = {
        "id": "evt_test_65R",
        "object": "v2.core.event",
        "type": "v1.customer.created",
        "created": "2026-10-01T12:00:00.000Z",
        "livemode": False,
        "related_object": {"id": "cus_1", "type": "customer", "url": "/v1/customers/cus_1"},
    }
    assert refused(json.dumps(thin).encode()).reason == "thin_event"
    assert refused(body(object="v2.core.event")).reason == "thin_event"


def test_an_eventbridge_envelope_is_recognised() -> None:
    bridge = {
        "version": "0",
        "id": "c6c7f0f0",
        "detail-type": "customer.created",
        "source": "aws.partner/stripe.com/ed_1",
        "account": "123456789012",
        "time": "2026-10-01T12:00:00Z",
        "region": "eu-west-1",
        "resources": ["arn:aws:events:eu-west-1"],
        "detail": EVENT,
    }
    error = refused(json.dumps(bridge).encode())
    assert error.reason == "eventbridge"
    assert "EventBridge" in str(error)


def test_a_cloud_event_is_recognised() -> None:
    cloud = {
        "specversion": "1.0",
        "id": "evt_1",
        "type": "customer.created",
        "source": "/stripe/ed_1",
        "time": "2026-10-01T12:00:00Z",
        "data": EVENT,
    }
    assert refused(json.dumps(cloud).encode()).reason == "cloud_event"


def test_fields_called_detail_or_object_do_not_make_an_envelope() -> None:
    assert envelope.foreign(json.dumps({"detail": 1}).encode()) is None
    assert envelope.foreign(b"[]") is None
    assert envelope.foreign(body()) is None
