"""A stage that can be held, whose orders come from a reader in memory."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import pytest
from aiokafka.errors import KafkaError

from stream import hold
from stream.settings import Settings


class Reader:
    """Orders that a test gives; `fail` ends the reader as a fetcher that has ended does."""

    current: Reader

    def __init__(self, *_: Any) -> None:
        self.orders = self
        self.held: dict[str, str] = {}
        self.changed = asyncio.Event()
        self.fail = asyncio.Event()
        Reader.current = self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: Any) -> None:
        pass

    async def run(self) -> None:
        await self.fail.wait()
        raise KafkaError("The consumer fetches no more.")


async def test_a_stage_that_would_hear_no_order_any_more_ends_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hold, "ControlReader", Reader)
    left = asyncio.Event()

    async def work(settings: Settings, stop: asyncio.Event) -> None:
        Reader.current.fail.set()
        await stop.wait()
        left.set()

    with pytest.raises(KafkaError, match="fetches no more"):
        await hold.holdable("projector", work)(Settings(), asyncio.Event())
    assert left.is_set(), "it stops as it does when it is told to"


async def test_one_that_is_held_does_not_wait_for_ever_either(monkeypatch: pytest.MonkeyPatch) -> None:
    class Held(Reader):
        def __init__(self, *_: Any) -> None:
            super().__init__()
            self.held["projector"] = "offsets are moved"
            self.fail.set()

    async def work(settings: Settings, stop: asyncio.Event) -> None:
        raise AssertionError("it is held")

    monkeypatch.setattr(hold, "ControlReader", Held)
    monkeypatch.setenv("PROJECTOR_METRICS_LISTEN", "127.0.0.1:0")
    with pytest.raises(KafkaError, match="fetches no more"):
        await hold.holdable("projector", work)(Settings(), asyncio.Event())
