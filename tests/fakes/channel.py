"""A channel in memory, in place of a real one."""

from __future__ import annotations

from stream.notify.port import Message, Parcel, Undelivered, Why
from stream.settings import ChannelName
from tests.fakes.notices import parcel


class FakeChannel:
    """Keeps what it is sent; refuses what it is told to."""

    def __init__(self, name: ChannelName = "slack") -> None:
        self.name: ChannelName = name
        self.channel = self
        self.parcel = parcel(name)
        self.sent: list[tuple[Parcel, Message]] = []
        self.tries = 0
        self.refusals: list[Why] = []
        self.gone = False

    async def send(self, parcel: Parcel, message: Message) -> None:
        self.tries += 1
        if self.gone:
            raise Undelivered(Why.LATER, "gone")
        why = self.refusals.pop(0) if self.refusals else None
        if why in (None, Why.UNSURE):
            self.sent.append((parcel, message))
        if why is not None:
            raise Undelivered(why, "refused")

    async def close(self) -> None:
        pass

    def refuse(self, why: Why) -> None:
        self.refusals.append(why)

    async def vanish(self) -> None:
        self.gone = True

    async def got(self) -> list[str]:
        return [message.text for _, message in self.sent]
