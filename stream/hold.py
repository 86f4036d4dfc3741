"""A stage that an operator holds leaves its group, and waits outside until it is let go on.

Offsets move only while a group has no members, and a supervisor would start a stopped process again. So the hold is
an order that every process of the stage heeds, those that start later, too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import AsyncExitStack
from functools import wraps

from stream.internal import InternalServer
from stream.kafka.control import ControlReader
from stream.settings import Settings
from stream.stage import Parts, Stage

log = logging.getLogger(__name__)


def holdable(name: str, work: Stage) -> Stage:
    """The stage `name` (a section of the settings), which works while nobody holds it. Held at work, it ends
    cleanly and becomes a new process, which waits."""

    @wraps(work)
    async def stage(settings: Settings, stop: asyncio.Event) -> None:
        async with Parts() as parts:
            control = await parts.enter_async_context(ControlReader(settings.kafka))
            following = asyncio.create_task(control.run())
            try:
                if not await _let_in(name, settings, control, stop, following):
                    return
                leave = asyncio.Event()
                watching = asyncio.create_task(_watch(name, control, stop, leave, following))
                try:
                    await work(settings, leave)
                finally:
                    watching.cancel()
                if following.done():  # orders are not heard any more: the process is to start again
                    following.result()
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
        if not stop.is_set():
            sys.stderr.flush()
            os.execv(sys.executable, sys.orig_argv)  # noqa: S606  the command that this process was started with

    return stage


async def _let_in(
    name: str, settings: Settings, control: ControlReader, stop: asyncio.Event, following: asyncio.Task[None]
) -> bool:
    """Waits while the stage is held. False when it is told to stop first. Raises what ends `following`."""
    if name not in control.orders.held:
        return True
    log.warning("An operator holds the %s out of its group: %s", name, control.orders.held[name])
    async with AsyncExitStack() as stack:
        listen = getattr(settings, name).metrics_listen
        server = InternalServer(listen, (name, "metrics_listen"), lambda: _told(name, control))
        stack.push_async_callback(server.stop)
        await server.start()
        while name in control.orders.held and not stop.is_set():
            await _next(control, stop, following)
            if following.done():
                following.result()
    return not stop.is_set()


async def _watch(
    name: str,
    control: ControlReader,
    stop: asyncio.Event,
    leave: asyncio.Event,
    following: asyncio.Task[None],
) -> None:
    """Sets `leave` when the stage is to stop, is held, or would not hear that it is."""
    while name not in control.orders.held and not stop.is_set() and not following.done():
        await _next(control, stop, following)
    if name in control.orders.held and not stop.is_set():
        log.warning("An operator holds the %s: it leaves its group.", name)
    leave.set()


async def _next(control: ControlReader, stop: asyncio.Event, following: asyncio.Task[None]) -> None:
    """Until an order comes or goes, none is heard any more, or it is time to stop."""
    waits = [asyncio.create_task(control.changed.wait()), asyncio.create_task(stop.wait())]
    try:
        await asyncio.wait([*waits, following], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    control.changed.clear()


def _told(name: str, control: ControlReader) -> str:
    return f"The {name} is held by an operator ({control.orders.held.get(name, 'no more')})."
