"""Work on chunks, those of one partition one at a time, while other partitions go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Lanes:
    """One lane per partition. `crash` is told when work fails; its chunk is not acknowledged then."""

    def __init__(self, crash: Callable[[BaseException], Awaitable[None]]) -> None:
        self._crash = crash
        self._lanes: dict[int, asyncio.Task[None]] = {}

    async def begin(
        self, partition: int, work: Callable[[int, T], Awaitable[None]], chunk: T, done: Callable[[], Any]
    ) -> None:
        """Starts the work on a chunk once the chunk before it, of the same partition, is done; `done`
        acknowledges it."""
        while before := self._lanes.get(partition):
            await asyncio.wait([before])
            if self._lanes.get(partition) is before:
                del self._lanes[partition]

        async def lane() -> None:
            try:
                await work(partition, chunk)
            except Exception as error:
                await self._crash(error)
                raise
            done()

        self._lanes[partition] = asyncio.create_task(lane())

    async def abandon(self) -> None:
        """Leaves all work where it is."""
        lanes = list(self._lanes.values())
        self._lanes.clear()
        for lane in lanes:
            lane.cancel()
        await asyncio.gather(*lanes, return_exceptions=True)
