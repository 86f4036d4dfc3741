"""Virtual time, and processes that can be killed in it."""

from __future__ import annotations

import asyncio
import contextvars
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# When a run begins, in seconds since 1970: the first of January 2026.
BEGIN = 1_767_225_600.0


# Turns of the loop at one instant, after which somebody is said to spin. A busy instant has some hundred.
MOST_TURNS = 20_000


class Stuck(Exception):
    """Nothing will ever happen again, or the same for ever, and the run is not over."""


class _Jump(selectors.SelectSelector):
    """Where a real loop would sleep, the clock is put forward instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck("nothing is left that could happen")
        self._turns = 0 if timeout > 0.0 else self._turns + 1
        if self._turns > MOST_TURNS:
            raise Stuck("something spins: no time passes any more")
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that never waits. Timers go off in their order, at once."""

    def __init__(self) -> None:
        self._jump = _Jump()
        self.ahead = 0.0  # by how much the clocks are wrong
        super().__init__(self._jump)
        self.set_task_factory(_owned)
        # A process that is killed leaves failures behind that nobody waits for.
        self.set_exception_handler(lambda loop, context: None)

    def time(self) -> float:
        return self._jump.now

    def wall(self) -> float:
        """What the processes' clocks show, in seconds since 1970."""
        return BEGIN + self._jump.now + self.ahead


_process: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


class Process:
    """Something that can be killed: whatever task it starts, and those start, ends with it. Of what it has asked of
    others nothing is taken back, and nothing is tidied up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.retired = False  # nobody starts another in its place
        self.failure: BaseException | None = None
        self.ended = asyncio.Event()
        self._fuse: int | None = None  # steps left
        self._after_commit: int | None = None
        self._tasks: dict[asyncio.Task[Any], None] = {}  # in the order in which they began

    def run(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Starts work as this process' own."""
        context = contextvars.copy_context()
        context.run(_process.set, self)
        return context.run(asyncio.get_running_loop().create_task, work)

    def own(self, task: asyncio.Task[Any]) -> None:
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)

    def kill(self) -> None:
        """Ends it where it stands."""
        self.alive = False
        self.ended.set()
        for task in list(self._tasks):
            task.cancel()

    def fail(self, error: BaseException) -> None:
        """Its work has failed: it ends."""
        self.failure = error
        self.kill()

    def retire(self) -> None:
        """Ends it for good."""
        self.retired = True
        self.kill()

    def doom(self, steps: int, *, after_commit: bool = False) -> None:
        """It is killed where it turns to the world outside for the so-manieth time: from now, or from its next
        commit on."""
        if after_commit:
            self._after_commit = steps
        else:
            self._fuse = steps

    def committed(self) -> None:
        """It has committed offsets."""
        if self._after_commit is not None:
            self._fuse, self._after_commit = self._after_commit, None

    def reach(self) -> None:
        """Where it turns to the world outside: a dead one does not get there."""
        if self._fuse is not None:
            self._fuse -= 1
            if self._fuse <= 0:
                self._fuse = None
                self.kill()
        if not self.alive:
            raise asyncio.CancelledError


def _owned(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
    task = asyncio.Task(work, loop=loop, **more)
    process = _process.get()
    if process is not None:
        process.own(task)
    return task


async def within(seconds: float, work: Callable[[], Awaitable[Any]]) -> bool:
    """Whether work came to its end in time. It is not ended when it did not."""
    task = asyncio.ensure_future(work())
    await asyncio.wait([task], timeout=seconds)
    if task.done() and not task.cancelled():
        task.result()
    return task.done()
