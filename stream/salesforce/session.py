"""A logged-in session with Salesforce: the token, kept fresh under one lock, and one way to make a call.

Logins: OAuth client credentials and JWT bearer (Help: "OAuth 2.0 Client Credentials Flow", "OAuth 2.0 JWT Bearer
Flow"). Neither gives a refresh token: a fresh token is a new login.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import ssl
import time
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

import aiohttp
import jwt
import msgspec

from stream import metrics, settings
from stream.salesforce.budget import Usage, read_header
from stream.salesforce.errors import Kind, RequestError

CONNECT_SECONDS = 10.0
# A kept-alive connection that the other side has just closed is no outage: try again at once, twice.
RECONNECTS = 2
# Salesforce refuses an assertion that is valid for more than a few minutes.
ASSERTION_SECONDS = 120


class LoginError(RequestError):
    """Salesforce refuses our login, or logs us in and then refuses the token."""


class Token(msgspec.Struct, frozen=True):
    """What a login gives. The instance is where the org lives: all calls go there."""

    access_token: str
    instance_url: str


class Answer(msgspec.Struct, frozen=True):
    """A good answer (below 300)."""

    status: int
    body: bytes


def check(config: settings.Salesforce) -> None:
    """Raises SettingError when a login cannot even be tried with these settings."""
    if not config.login_url:
        raise settings.missing("salesforce", "login_url", "no org is named")
    if not is_safe(config.login_url):
        raise settings.missing("salesforce", "login_url", "must begin with https://")
    if not config.client_id:
        raise settings.missing("salesforce", "client_id", "no app to log in as")
    if config.jwt_key:
        if not config.jwt_username:
            raise settings.missing("salesforce", "jwt_username", "a JWT login needs a user")
        _assertion(config)
    elif not config.client_secret:
        raise settings.missing("salesforce", "client_secret", "no secret, and no JWT key either")
    tls(config)


def is_safe(url: str) -> bool:
    """https, or plain http that does not leave this machine."""
    parts = urlsplit(url)
    if parts.scheme == "http":
        try:
            return parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
        except ValueError:
            return False
    return parts.scheme == "https" and bool(parts.hostname)


def tls(config: settings.Salesforce) -> ssl.SSLContext:
    """TLS that trusts our CA, or the system's. Raises SettingError for a file that holds no certificate."""
    try:
        return ssl.create_default_context(cafile=str(config.ca_file) if config.ca_file else None)
    except OSError as error:
        raise settings.missing("salesforce", "ca_file", f"cannot be used: {error.strerror}") from None


def _assertion(config: settings.Salesforce) -> str:
    claims = {
        "iss": config.client_id,
        "sub": config.jwt_username,
        "aud": config.jwt_audience,
        "exp": int(time.time()) + ASSERTION_SECONDS,
    }
    key = config.jwt_key.get_secret_value() if config.jwt_key else ""
    try:
        return jwt.encode(claims, key, algorithm="RS256")
    except (ValueError, TypeError, jwt.PyJWTError):
        raise settings.missing("salesforce", "jwt_key", "is no RSA private key in PEM form") from None


class Session:
    """One connection pool and one token for the whole process."""

    def __init__(self, config: settings.Salesforce) -> None:
        check(config)
        self._config = config
        self._token: Token | None = None
        self._lock = asyncio.Lock()
        self._http: aiohttp.ClientSession | None = None
        self.usage: Usage | None = None

    async def __aenter__(self) -> Session:
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls(self._config), limit=self._config.concurrency + 8),
            timeout=aiohttp.ClientTimeout(total=self._config.timeout_seconds, sock_connect=CONNECT_SECONDS),
            headers={"Accept": "application/json", "Sforce-Call-Options": "client=revstream"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()

    def path(self, path: str) -> str:
        """The address of a REST resource within the API version that the settings name."""
        return f"/services/data/v{self._config.api_version}/{path}"

    async def call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        repeat: bool = True,
    ) -> Answer:
        """Makes a call, with one new login if the token has expired. `operation` labels the metrics. Without
        `repeat` a call whose connection broke is not made again: Salesforce may have done it.

        Raises RequestError for any answer that is not a success, and when there is none.
        """
        token = await self.token()
        try:
            return await self._send(operation, method, path, token, body, headers, repeat)
        except RequestError as error:
            if error.kind is not Kind.REAUTH:
                raise
        metrics.RETRIES.labels("expired_token").inc()
        token = await self.token(instead_of=token)
        try:
            return await self._send(operation, method, path, token, body, headers, repeat)
        except RequestError as error:
            if error.kind is Kind.REAUTH:
                raise LoginError(Kind.REAUTH, error.code, error.message, error.status) from None
            raise

    async def token(self, instead_of: Token | None = None) -> Token:
        """A token; a fresh one when the known one is `instead_of`. Raises LoginError or RequestError."""
        async with self._lock:
            if self._token is None or self._token is instead_of:
                self._token = None
                self._token = await self._login()
            return self._token

    async def _login(self) -> Token:
        config = self._config
        form = {"client_id": config.client_id}
        if config.jwt_key:
            form = {
                "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
                "assertion": _assertion(config),
            }
        else:
            secret = config.client_secret.get_secret_value() if config.client_secret else ""
            form |= {"grant_type": "client_credentials", "client_secret": secret}
        url = urljoin(config.login_url, "/services/oauth2/token")
        try:
            answer = await self._exchange("login", "POST", url, data=aiohttp.FormData(form)(), headers={})
        except RequestError as error:
            if error.kind is Kind.REQUEST:
                raise
            raise LoginError(Kind.REAUTH, error.code, error.message, error.status) from None
        try:
            token = msgspec.json.decode(answer.body, type=Token)
        except msgspec.DecodeError:
            raise LoginError(Kind.REAUTH, "no_token", "The login's answer holds no token.") from None
        if not is_safe(token.instance_url):
            raise LoginError(Kind.REAUTH, "unsafe_instance", "The login names an instance without https.")
        return token

    async def _send(
        self,
        operation: str,
        method: str,
        path: str,
        token: Token,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        repeat: bool,
    ) -> Answer:
        own = {"Authorization": f"Bearer {token.access_token}", **(headers or {})}
        if body is not None:
            own.setdefault("Content-Type", "application/json")
        return await self._exchange(
            operation, method, urljoin(token.instance_url, path), data=body, headers=own, repeat=repeat
        )

    async def _exchange(
        self,
        operation: str,
        method: str,
        url: str,
        *,
        data: object,
        headers: Mapping[str, str],
        repeat: bool = True,
    ) -> Answer:
        """One exchange. Only a connection that broke is tried again here."""
        for attempt in range(RECONNECTS + 1):
            try:
                return await self._exchange_once(operation, method, url, data, headers)
            except RequestError as error:
                if error.code != _BROKEN or attempt == RECONNECTS or not repeat:
                    raise
                metrics.RETRIES.labels("connection").inc()
                await asyncio.sleep(random.uniform(0.05, 0.25))
        raise AssertionError("not reached")

    async def _exchange_once(
        self, operation: str, method: str, url: str, data: object, headers: Mapping[str, str]
    ) -> Answer:
        assert self._http is not None, "the session is not open"  # noqa: S101
        began = time.monotonic()
        code = _NO_ANSWER
        try:
            # A redirect would turn a POST into a GET without its body.
            async with self._http.request(
                method, url, data=data, headers=headers, allow_redirects=False
            ) as answer:
                body = await answer.read()
            code = str(answer.status)
        except TimeoutError:
            raise RequestError(Kind.REQUEST, "timeout", "Salesforce did not answer in time.") from None
        except aiohttp.ClientConnectorError as error:
            raise RequestError(Kind.REQUEST, "no_connection", type(error).__name__) from None
        except (aiohttp.ClientError, OSError) as error:
            raise RequestError(Kind.REQUEST, _BROKEN, type(error).__name__) from None
        finally:
            metrics.SALESFORCE_REQUESTS.labels(operation, code).inc()
            metrics.SALESFORCE_DURATION.labels(operation).observe(time.monotonic() - began)
        self._note(read_header(answer.headers.get("Sforce-Limit-Info")))
        if answer.status >= 300:
            raise RequestError.of(answer.status, body)
        return Answer(answer.status, body)

    def _note(self, usage: Usage | None) -> None:
        if usage is None:
            return
        self.usage = usage
        metrics.API_USED.set(usage.used)
        metrics.API_LIMIT.set(usage.limit)


_NO_ANSWER = "none"
_BROKEN = "broken_connection"
