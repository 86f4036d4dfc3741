"""What the org has: an object's describe.

Through simple-salesforce, which is what most people would use by hand, with what it lacks: time-outs, bounded
retries, our CA, and a token of ours. It knows only https, so a plain local Salesforce is asked directly.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce as SimpleSalesforce
from simple_salesforce.exceptions import SalesforceError, SalesforceResourceNotFound
from urllib3.util import Retry

from stream import settings
from stream.salesforce.errors import Kind, RequestError
from stream.salesforce.port import Description
from stream.salesforce.session import CONNECT_SECONDS, Session, Token, tls


class _Adapter(HTTPAdapter):
    """The session's own trust in certificates, time-outs on every call, and two more tries of what can safely be
    asked again."""

    def __init__(self, config: settings.Salesforce) -> None:
        self._timeouts = (CONNECT_SECONDS, config.timeout_seconds)
        self._context = tls(config)
        retry = Retry(
            total=2, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504), raise_on_status=False
        )
        super().__init__(max_retries=retry)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> Any:
        return super().init_poolmanager(*args, **kwargs, ssl_context=self._context)

    def send(self, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
        return super().send(request, *args, **{**kwargs, "timeout": self._timeouts})


class Describer:
    """Asks for an object's describe with the session's token."""

    def __init__(self, config: settings.Salesforce, session: Session) -> None:
        self._config = config
        self._session = session

    async def describe(self, object_: str) -> Description | None:
        """None when the org has no such object. Raises RequestError."""
        token = await self._session.token()
        if urlsplit(token.instance_url).scheme == "http":
            return await self._directly(object_)
        try:
            return await asyncio.to_thread(self._through_library, object_, token)
        except RequestError as error:
            if error.kind is not Kind.REAUTH:
                raise
        token = await self._session.token(instead_of=token)
        return await asyncio.to_thread(self._through_library, object_, token)

    async def _directly(self, object_: str) -> Description | None:
        path = self._session.path(f"sobjects/{quote(object_, safe='')}/describe")
        try:
            answer = await self._session.call("describe", "GET", path)
        except RequestError as error:
            if error.status == 404:
                return None
            raise
        return msgspec.json.decode(answer.body, type=Description)

    def _through_library(self, object_: str, token: Token) -> Description | None:
        with requests.Session() as http:
            # Neither another CA from REQUESTS_CA_BUNDLE nor another login from .netrc in place of ours.
            http.trust_env = False
            http.verify = str(self._config.ca_file) if self._config.ca_file else True
            http.mount("https://", _Adapter(self._config))
            org = SimpleSalesforce(
                instance_url=token.instance_url,
                session_id=token.access_token,
                version=self._config.api_version,
                session=http,
            )
            try:
                told = getattr(org, object_).describe()
            except SalesforceResourceNotFound:
                return None
            except SalesforceError as error:
                raise RequestError.of(int(error.status), msgspec.json.encode(error.content)) from None
            except (requests.RequestException, OSError) as error:
                raise RequestError(Kind.REQUEST, "no_answer", type(error).__name__) from None
        return msgspec.convert(told, Description)
