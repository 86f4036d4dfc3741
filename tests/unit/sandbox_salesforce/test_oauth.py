from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from stream.sandbox.salesforce.oauth import JWT_BEARER, OAuthError, Tokens, authorize
from stream.sandbox.salesforce.options import Identity, Options

ADDRESS = "https://127.0.0.1:8443"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
IDENTITY = Identity("app", "s3cret", "me@x.example", PUBLIC.decode())


def basic(name: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


Form = Callable[[], dict[str, str]]
"""Made when the test runs: an assertion made when the tests were collected may have expired."""


def assertion(key: Any = KEY, **changes: Any) -> dict[str, str]:
    told = {"iss": "app", "sub": "me@x.example", "aud": ADDRESS, "exp": int(time.time()) + 60} | changes
    return {"grant_type": JWT_BEARER, "assertion": jwt.encode(told, key, algorithm="RS256")}


CLIENT = {"grant_type": "client_credentials"}


@pytest.mark.parametrize(
    ("form", "header"),
    [
        (lambda: CLIENT, basic("app", "s3cret")),
        (lambda: CLIENT | {"client_id": "app", "client_secret": "s3cret"}, ""),
        (lambda: assertion(), ""),
        (lambda: assertion(aud="https://login.salesforce.com"), ""),
        (lambda: assertion(exp=str(int(time.time()) + 60)), ""),  # as simple-salesforce writes it
    ],
)
def test_who_may_log_in(form: Form, header: str) -> None:
    authorize(form(), header, IDENTITY, ADDRESS)


@pytest.mark.parametrize(
    ("form", "header", "error", "told"),
    [
        (dict, "", "unsupported_grant_type", "grant type"),
        (lambda: {"grant_type": "password"}, "", "unsupported_grant_type", "grant type"),
        (lambda: CLIENT, "", "invalid_client_id", "identifier"),
        (lambda: CLIENT, basic("app", "wrong"), "invalid_client", "credentials"),
        (lambda: CLIENT, basic("other", "s3cret"), "invalid_client_id", "identifier"),
        (lambda: CLIENT, "Basic !", "invalid_request", "malformed"),
        (lambda: assertion(aud="https://else.example"), "", "invalid_grant", "audience"),
        (lambda: assertion(exp=int(time.time()) - 60), "", "invalid_grant", "expired"),
        (lambda: assertion(sub="you@x.example"), "", "invalid_grant", "approved"),
        (lambda: assertion(iss="other"), "", "invalid_client_id", "identifier"),
        (lambda: assertion(rsa.generate_private_key(65537, 2048)), "", "invalid_grant", "assertion"),
        (lambda: {"grant_type": JWT_BEARER, "assertion": "x"}, "", "invalid_grant", "assertion"),
        (lambda: {"grant_type": JWT_BEARER}, "", "invalid_grant", "assertion"),
    ],
)
def test_who_may_not(form: Form, header: str, error: str, told: str) -> None:
    with pytest.raises(OAuthError, match=told) as refused:
        authorize(form(), header, IDENTITY, ADDRESS)
    assert refused.value.body["error"] == error


def test_an_unsigned_assertion_is_refused() -> None:
    told = {"iss": "app", "sub": "me@x.example", "aud": ADDRESS, "exp": int(time.time()) + 60}
    form = {"grant_type": JWT_BEARER, "assertion": jwt.encode(told, "", algorithm="none")}
    with pytest.raises(OAuthError, match="assertion"):
        authorize(form, "", IDENTITY, ADDRESS)


def test_without_a_key_there_is_no_jwt_login() -> None:
    with pytest.raises(OAuthError, match="no certificate"):
        authorize(assertion(), "", msgspec.structs.replace(IDENTITY, jwt_public_key=None), ADDRESS)


def test_tokens_end() -> None:
    now = 0.0
    tokens = Tokens("00DSb0000000001EAA", lambda: now)
    old = tokens.issue()
    assert tokens.use(old, Options(token_seconds=10))
    assert not tokens.use("00D!other", Options())
    now = 10.0
    assert not tokens.use(old, Options(token_seconds=10))
    few = tokens.issue()
    assert [tokens.use(few, Options(token_calls=2)) for _ in range(3)] == [True, True, False]
    last = tokens.issue()
    tokens.expire()
    assert not tokens.use(last, Options())
