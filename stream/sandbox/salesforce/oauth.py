"""Logins: OAuth 2.0 client credentials and JWT bearer, and the tokens that they give."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import msgspec

from stream.sandbox.salesforce.options import Identity, Options

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class OAuthError(Exception):
    """A login that is refused, as the token endpoint tells it: error and description, with status 400."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.body = {"error": error, "error_description": description}


class _Token(msgspec.Struct):
    issued: float
    calls: int = 0


class Tokens:
    """The access tokens that are in use. `clock` gives seconds."""

    def __init__(self, organization: str, clock: Callable[[], float]) -> None:
        self._organization = organization
        self._clock = clock
        self._tokens: dict[str, _Token] = {}

    def issue(self) -> str:
        """A new token."""
        token = f"{self._organization[:15]}!{secrets.token_urlsafe(48)}"
        self._tokens[token] = _Token(self._clock())
        return token

    def use(self, token: str, options: Options) -> bool:
        """Counts one call with a token; false when it is unknown or has expired."""
        held = self._tokens.get(token)
        if held is None:
            return False
        held.calls += 1
        too_old = self._clock() - held.issued >= options.token_seconds
        if too_old or (options.token_calls and held.calls > options.token_calls):
            del self._tokens[token]
            return False
        return True

    def expire(self) -> None:
        """Ends every token."""
        self._tokens.clear()


def authorize(form: Mapping[str, str], authorization: str, identity: Identity, address: str) -> None:
    """Checks one call of the token endpoint at `address`. Raises OAuthError."""
    grant = form.get("grant_type")
    if grant == "client_credentials":
        _check_client(*_client(form, authorization), identity)
    elif grant == JWT_BEARER:
        _check_assertion(form.get("assertion", ""), identity, address)
    else:
        raise OAuthError("unsupported_grant_type", "grant type not supported")


def _client(form: Mapping[str, str], authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.casefold() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise OAuthError("invalid_request", "malformed Authorization header") from None
    return name, secret


def _check_client(name: str, secret: str, identity: Identity) -> None:
    if name != identity.client_id:
        raise OAuthError("invalid_client_id", "client identifier invalid")
    if not hmac.compare_digest(secret.encode(), identity.client_secret.encode()):
        raise OAuthError("invalid_client", "invalid client credentials")


def _check_assertion(assertion: str, identity: Identity, address: str) -> None:
    """RS256 by the configured key, for this client, user and audience, and not expired."""
    if identity.jwt_public_key is None:
        raise OAuthError("invalid_client", "no certificate is configured for the JWT bearer flow")
    try:
        told: dict[str, Any] = jwt.decode(
            assertion,
            identity.jwt_public_key,
            algorithms=["RS256"],
            audience=[*identity.audiences, address],
            options={"require": ["exp", "iss", "sub", "aud"]},
        )
    except jwt.ExpiredSignatureError:
        raise OAuthError("invalid_grant", "expired authorization code") from None
    except jwt.InvalidAudienceError:
        raise OAuthError("invalid_grant", "audience is invalid") from None
    except jwt.InvalidTokenError:
        raise OAuthError("invalid_grant", "invalid assertion") from None
    if told["iss"] != identity.client_id:
        raise OAuthError("invalid_client_id", "client identifier invalid")
    if told["sub"] != identity.username:
        raise OAuthError("invalid_grant", "user hasn't approved this consumer")


def granted(token: str, address: str, organization: str, user: str, issued_at_ms: int) -> dict[str, str]:
    """The answer to a login. It has no `expires_in`: Salesforce's has none."""
    return {
        "access_token": token,
        "signature": base64.b64encode(secrets.token_bytes(32)).decode(),
        "scope": "api",
        "instance_url": address,
        "id": f"{address}/id/{organization}/{user}",
        "token_type": "Bearer",
        "issued_at": str(issued_at_ms),
    }
