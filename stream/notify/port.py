"""The port of a channel, and what is handed to it."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

import msgspec

from stream.records import Notice
from stream.settings import ChannelName


class Item(msgspec.Struct, frozen=True):
    """A notice, and where in `revstream.notices` it stands."""

    notice: Notice
    partition: int
    offset: int


class Parcel(msgspec.Struct, frozen=True):
    """What goes out on a channel as one message. `address` is who gets it, as far as the channel has a choice:
    the recipients of a mail, the customer on whose Account something is posted; empty for others."""

    channel: ChannelName
    address: tuple[str, ...]
    items: tuple[Item, ...]

    @property
    def ids(self) -> str:
        """The notices' IDs, for a log."""
        first = self.items[0].notice.id
        return first if len(self.items) == 1 else f"{first} and {len(self.items) - 1} more"


class Message(msgspec.Struct, frozen=True):
    """A rendered parcel; `subject` is empty where a channel has none."""

    subject: str
    text: str


class Why(StrEnum):
    """What a failure means for a message."""

    LATER = "later"  # it is certain that nobody got it, and the next try may pass
    NEVER = "never"  # nobody got it, and nobody will
    UNSURE = "unsure"  # someone may have got it: another try could tell twice


class Undelivered(Exception):
    """A channel did not take a message. `code` holds no personal data; `after` are the seconds that the channel
    asks us to wait."""

    def __init__(self, why: Why, code: str, after: float | None = None) -> None:
        super().__init__(code)
        self.why = why
        self.code = code
        self.after = after


class Channel(Protocol):
    """A way to tell people."""

    name: ChannelName

    async def send(self, parcel: Parcel, message: Message) -> None:
        """Makes one try. Raises Undelivered."""

    async def close(self) -> None:
        """Disconnects."""
