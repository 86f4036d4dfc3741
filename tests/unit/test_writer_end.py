"""How the writer ends: who does not wait for a call to Salesforce must not hand its partitions on at once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from stream.salesforce import writer
from stream.salesforce.dispatcher import Dispatcher
from tests.fakes.desk import DEADLINE, QUICK, MemoryLog, settings
from tests.fakes.salesforce import FakeSalesforce
from tests.fakes.writes import account, contact


class Sink(MemoryLog):
    """A log whose first poll brings two writes, and whose second fails when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.gave_up = False
        self.failing = asyncio.Event()
        self.put(account("cus_1"))
        self.put(contact("cus_1"))
        self._read = False

    async def poll(self) -> list[Any]:
        if self._read:
            await self.failing.wait()
            raise KafkaError("gone")
        self._read = True
        return [
            SimpleNamespace(partition=0, offset=offset, key=key, value=value, headers=())
            for offset, (key, value) in enumerate(self.writes[0])
        ]


async def _for_ever() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("in_flight", [True, False], ids=["in a call", "after it"])
@pytest.mark.parametrize("by_error", [True, False], ids=["by an error", "by a signal"])
async def test_a_call_in_flight_is_given_up_however_the_writer_ends(
    monkeypatch: pytest.MonkeyPatch, in_flight: bool, by_error: bool
) -> None:
    monkeypatch.setattr(writer, "STOP_SECONDS", 0.1)
    fake, sink, stop = FakeSalesforce(), Sink(), asyncio.Event()
    called, answered = asyncio.Event(), asyncio.Event()

    async def before(operation: str) -> None:
        if operation == "upsert":
            called.set()
            await answered.wait()

    fake.before = before
    dispatcher = Dispatcher(fake, sink, settings(), QUICK)
    dispatcher.expect([0], {})
    dispatcher.own({})
    others: Any = SimpleNamespace(run=_for_ever, changed=asyncio.Event())
    ending = asyncio.create_task(writer._until_stopped(dispatcher, sink, others, others, stop))  # type: ignore[arg-type]
    async with asyncio.timeout(DEADLINE):
        await called.wait()
        if not in_flight:
            answered.set()
            async with sink.changed:
                await sink.changed.wait_for(lambda: sink.committed.get(0, (0, ""))[0] == 2)
        (sink.failing if by_error else stop).set()
        if by_error:
            with pytest.raises(KafkaError, match="gone"):
                await ending
        else:
            await ending
    assert sink.gave_up == in_flight
    if in_flight:
        answered.set()
        for _ in range(100):  # what is left of the window has its turns
            await asyncio.sleep(0)
        assert fake.calls["upsert"] == 1, "and no other call begins"
