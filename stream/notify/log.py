"""The log as a channel. What is personal stays out of it: IDs say what happened to whom."""

from __future__ import annotations

import logging

from stream.notify.port import Message, Parcel
from stream.settings import ChannelName

log = logging.getLogger(__name__)


class Log:
    """The port `Channel` over a line in the log."""

    name: ChannelName = "log"

    async def send(self, parcel: Parcel, message: Message) -> None:
        """One line; the message is for eyes that may see names."""
        if len(parcel.items) > 1:
            log.info("%d notices: %s.", len(parcel.items), parcel.ids)
            return
        notice = parcel.items[0].notice
        log.info(
            "Notice %s: %s, customer %s, event %s.",
            notice.id,
            notice.workflow,
            notice.account,
            notice.event.id,
        )

    async def close(self) -> None:
        """Nothing is kept open."""
