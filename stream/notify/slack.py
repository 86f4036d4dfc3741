"""Slack, through an incoming webhook ("Sending messages using incoming webhooks")."""

from __future__ import annotations

from http import HTTPStatus

import aiohttp
from slack_sdk.webhook.async_client import AsyncWebhookClient

from stream.notify.port import Message, Parcel, Undelivered, Why
from stream.salesforce.session import is_safe
from stream.settings import ChannelName, Notify, missing

CONNECT_SECONDS = 5.0
# Slack cuts a message at 40,000 characters and asks for 4,000 at most ("Truncating really long messages").
LONGEST = 4000


class Slack:
    """The port `Channel` over Slack's own client. Raises SettingError for an address that is not https."""

    name: ChannelName = "slack"

    def __init__(self, notify: Notify) -> None:
        assert notify.slack_webhook_url is not None  # noqa: S101  the caller asks first
        url = notify.slack_webhook_url.get_secret_value()
        if not is_safe(url):
            raise missing("notify", "slack_webhook_url", "must begin with https://")
        total = notify.timeout_seconds
        timeout = aiohttp.ClientTimeout(total=total, sock_connect=min(CONNECT_SECONDS, total))
        self._session = aiohttp.ClientSession(timeout=timeout, trust_env=True)
        # Its own retries are off: they would send again what Slack may have taken.
        self._client = AsyncWebhookClient(url, session=self._session, retry_handlers=[])
        self._client.proxy = None  # the session knows the environment's proxies, and their exceptions

    async def send(self, parcel: Parcel, message: Message) -> None:
        """`POST` of the text. Links are not unfolded: a customer's name might be one."""
        try:
            answer = await self._client.send(
                text=message.text[:LONGEST], unfurl_links=False, unfurl_media=False
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Undelivered(Why.LATER, type(error).__name__) from None
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is one of them
            raise Undelivered(Why.UNSURE, type(error).__name__) from None
        status = answer.status_code
        if status == HTTPStatus.OK and answer.body.strip() == "ok":
            return
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= 500:
            raise Undelivered(Why.LATER, f"HTTP {status}", _seconds(answer.headers.get("Retry-After")))
        raise Undelivered(Why.NEVER, f"HTTP {status}")

    async def close(self) -> None:
        """Disconnects."""
        await self._session.close()


def _seconds(told: str | None) -> float | None:
    return float(told) if told is not None and told.isdecimal() else None
