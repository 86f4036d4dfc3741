"""Whatever bytes come, the pure part of the gateway answers with its own errors and nothing else."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.stripe import envelope, routing
from stream.stripe.envelope import EnvelopeError
from stream.stripe.signature import Keys, SignatureError, sign

SECRET = "whsec_one"
KEYS = Keys([SECRET, "whsec_two"])
NOW = 1_760_000_000

scalars = st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ids = st.text(min_size=1, max_size=255).filter(lambda text: text.isprintable() or text.isspace())


def objects(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, values))


events = st.fixed_dictionaries(
    {
        "id": values,
        "type": values,
        "created": values,
        "data": st.fixed_dictionaries(
            {"object": objects("id", "object", "customer", "customer_account")},
            optional={"previous_attributes": objects("customer", "customer_account") | values},
        )
        | values,
    },
    optional={
        "object": values,
        "account": values,
        "livemode": values,
        "detail-type": values,
        "specversion": values,
    },
)


@given(st.binary() | st.from_regex(rb"t=\d{1,12}(,v1=[0-9a-f]{0,64}){0,3}"), st.binary(max_size=64))
def test_no_header_but_the_right_one_passes(header: bytes, body: bytes) -> None:
    with pytest.raises(SignatureError):
        KEYS.verify(header, body, NOW)


@given(st.binary(max_size=256), st.binary(max_size=256))
def test_a_signature_holds_for_its_own_body_alone(body: bytes, other: bytes) -> None:
    header = sign(body, SECRET, NOW).encode()
    KEYS.verify(header, body, NOW)
    if other != body:
        with pytest.raises(SignatureError):
            KEYS.verify(header, other, NOW)


@given(st.binary(max_size=200) | events.map(lambda event: json.dumps(event).encode()))
def test_any_body_is_read_or_refused_with_a_reason(body: bytes) -> None:
    try:
        event = envelope.read(body)
    except EnvelopeError:
        return
    key = routing.key(event)
    # With an account before it, the longest key is two of the longest IDs; it can always be a Kafka key.
    assert 0 < len(key) <= 2 * envelope.LONGEST + 1
    assert key.encode()


@given(ids, ids, st.none() | ids)
def test_a_customers_events_share_one_key(customer: str, other: str, account: str | None) -> None:
    def key(object_: dict[str, Any]) -> str:
        return routing.key(
            envelope.Envelope(
                id="evt_1",
                type="any",
                created=1,
                account=account,
                data=envelope.Data(msgspec.convert(object_, envelope.Object)),
            )
        )

    own = key({"id": customer, "object": "customer"})
    assert key({"id": other, "object": "invoice", "customer": customer}) == own
    assert key({"id": other, "object": "charge", "customer": {"id": customer}}) == own
    assert own == (f"{account}/{customer}" if account else customer)
