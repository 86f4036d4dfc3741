"""Asking Stripe until it answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from stream.stripe.api import Away

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0


async def patiently(
    ask: Callable[[], Awaitable[T]],
    *,
    waiting: str = "events of its partition wait",
    tries: int | None = None,
) -> T:
    """The answer, however long Stripe is away: nothing is guessed or lost. `waiting` says what waits meanwhile.

    Raises what `ask` raises, except Away; that only after so many `tries`, if they are counted.
    """
    pause = FIRST_PAUSE_SECONDS
    tried = 0
    while True:
        try:
            return await ask()
        except Away as error:
            tried += 1
            if tried == tries:
                raise
            log.warning("%s Next in %.0f s; %s.", error, pause, waiting)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
