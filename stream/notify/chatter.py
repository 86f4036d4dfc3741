"""Chatter: a post on the customer's Account that names its owner ("Post and Comment with Mention")."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from stream.notify.port import Message, Parcel, Undelivered, Why
from stream.salesforce import soql
from stream.salesforce.errors import Kind, RequestError
from stream.salesforce.session import Session
from stream.settings import CUSTOMER_ID_FIELD, ChannelName, Notify

# Connect REST API: the body of a feed item holds up to 10,000 characters.
LONGEST = 9000

_AGAIN = {Kind.REAUTH, Kind.QUOTA, Kind.REQUEST, Kind.ROW}
# The call was made, and what became of it is not known.
_UNKNOWN = {"timeout", "broken_connection", "unreadable"}


class _Owner(msgspec.Struct, rename="pascal"):
    is_active: bool = False


class _Account(msgspec.Struct, rename="pascal"):
    id: str
    owner_id: str
    owner: _Owner | None = None


class _Found(msgspec.Struct):
    records: list[_Account]


class Chatter:
    """The port `Channel` over the writer's kind of session."""

    name: ChannelName = "chatter"

    def __init__(self, session: Session, notify: Notify) -> None:
        self._session = session
        self._timeout = notify.timeout_seconds

    async def send(self, parcel: Parcel, message: Message) -> None:
        """Finds the Account by its external ID, and posts there; an inactive owner cannot be named."""
        account = await self._account(parcel.address[0])
        segments: list[dict[str, Any]] = [{"type": "Text", "text": message.text[:LONGEST]}]
        if account.owner is not None and account.owner.is_active:
            # Salesforce adds no space between segments.
            segments = [
                {"type": "Mention", "id": account.owner_id},
                {"type": "Text", "text": "\n"},
                *segments,
            ]
        post = {
            "feedElementType": "FeedItem",
            "subjectId": account.id,
            "body": {"messageSegments": segments},
        }
        try:
            async with asyncio.timeout(self._timeout):
                await self._session.call(
                    "chatter_post",
                    "POST",
                    self._session.path("chatter/feed-elements"),
                    body=msgspec.json.encode(post),
                    repeat=False,
                )
        except RequestError as error:
            raise _undelivered(error, posting=True) from None
        except TimeoutError:
            raise Undelivered(Why.UNSURE, "timeout") from None

    async def _account(self, customer: str) -> _Account:
        query = (
            "SELECT Id, OwnerId, Owner.IsActive FROM Account "  # noqa: S608  `literal` quotes
            f"WHERE {CUSTOMER_ID_FIELD} = {soql.literal(customer)}"
        )
        try:
            async with asyncio.timeout(self._timeout):
                path = self._session.path(f"query?q={soql.encoded(query)}")
                answer = await self._session.call("query", "GET", path)
            found = msgspec.json.decode(answer.body, type=_Found).records
        except RequestError as error:
            raise _undelivered(error, posting=False) from None
        except (TimeoutError, msgspec.DecodeError) as error:
            raise Undelivered(Why.LATER, type(error).__name__) from None
        if not found:
            # The notice may be faster than the writer.
            raise Undelivered(Why.LATER, "the Account is not in Salesforce")
        return found[0]

    async def close(self) -> None:
        """The session is closed by who opened it."""


def _undelivered(error: RequestError, *, posting: bool) -> Undelivered:
    if posting and error.code in _UNKNOWN:
        return Undelivered(Why.UNSURE, error.code)
    return Undelivered(Why.LATER if error.kind in _AGAIN else Why.NEVER, error.code)
