"""What every channel must do for the notifier. The fake and the real ones all pass it.

A module that runs the suite subclasses `ChannelPort` and gives the fixture `far`: a channel, and the far end that
it talks to.
"""

from __future__ import annotations

from typing import Protocol

import pytest

from stream.notify.port import Channel, Message, Parcel, Undelivered, Why

TEXT = "Payment failed: Ács & Söhne <GmbH>, 1,200.50 EUR\n\n. a line that begins with a dot\nEnd."


class Far(Protocol):
    """A channel with its far end."""

    channel: Channel
    parcel: Parcel

    def refuse(self, why: Why) -> None:
        """What comes next is refused once; for UNSURE it is taken, and the answer is lost."""

    async def vanish(self) -> None:
        """Nothing listens any more."""

    async def got(self) -> list[str]:
        """The texts that arrived."""


class ChannelPort:
    """The suite."""

    async def send(self, far: Far) -> None:
        await far.channel.send(far.parcel, Message("Payment failed", TEXT))

    async def refusal(self, far: Far) -> Undelivered:
        with pytest.raises(Undelivered) as refused:
            await self.send(far)
        assert "cs" not in refused.value.code  # nothing of the text
        return refused.value

    async def test_a_message_arrives_once_and_whole(self, far: Far) -> None:
        await self.send(far)
        (got,) = await far.got()
        assert TEXT in got

    async def test_what_is_refused_for_now_did_not_arrive_and_may_be_tried_again(self, far: Far) -> None:
        far.refuse(Why.LATER)
        assert (await self.refusal(far)).why is Why.LATER
        assert await far.got() == []
        await self.send(far)
        assert len(await far.got()) == 1

    async def test_what_is_refused_for_good_did_not_arrive(self, far: Far) -> None:
        far.refuse(Why.NEVER)
        assert (await self.refusal(far)).why is Why.NEVER
        assert await far.got() == []

    async def test_what_may_have_arrived_is_said_to(self, far: Far) -> None:
        far.refuse(Why.UNSURE)
        assert (await self.refusal(far)).why is Why.UNSURE
        assert len(await far.got()) == 1

    async def test_where_nothing_listens_another_try_may_pass(self, far: Far) -> None:
        await far.vanish()
        assert (await self.refusal(far)).why is Why.LATER
