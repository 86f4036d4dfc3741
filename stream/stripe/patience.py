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


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer, however long Stripe is away: the partition waits meanwhile, and nothing is guessed or lost.

    Raises what `ask` raises, except Away.
    """
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return await ask()
        except Away as error:
            log.warning("%s Next in %.0f s; events of its partition wait.", error, pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
