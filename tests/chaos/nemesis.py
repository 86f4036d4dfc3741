"""Who breaks it: plays a schedule on the running group."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Sequence

import aiohttp
import msgspec

from tests.chaos.faults import SALESFORCE, STAGES, Step
from tests.chaos.group import READY_SECONDS, Group
from tests.chaos.proxy import Ill

LOOK_SECONDS = 0.1
# A killed process is there again within this; Kafka has its log to recover.
BACK_SECONDS = READY_SECONDS


class Done(msgspec.Struct, frozen=True):
    """A step as it came: monotonic seconds from its beginning to when what was broken was there again."""

    step: Step
    began: float
    ended: float


class Nemesis:
    """Plays faults on a group."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self.done: list[Done] = []

    async def play(self, steps: Sequence[Step], until: float) -> None:
        """Each at its time, until so many seconds have gone; those still to come are left out.

        While Kafka's process is down nothing that others suffer would show, so the rest is put off until the
        gateway takes webhooks again. Raises TimeoutError (in an exception group) when something that was broken
        does not come back.
        """
        start = now = time.monotonic()
        late = 0.0
        async with asyncio.TaskGroup() as tasks:
            for step in steps:
                await asyncio.sleep(start + step.at + late - time.monotonic())
                now = time.monotonic()
                if now - start > until:
                    return
                if step.fault.kind != "network" and step.fault.target == "kafka":
                    await self._play(step)
                    await self._group.ready("gateway")
                    late += time.monotonic() - now
                else:
                    tasks.create_task(self._play(step))

    async def play_in_turn(self, steps: Sequence[Step]) -> None:
        """Each once all stages are ready after the one before. Raises TimeoutError as `play`."""
        for step in steps:
            await self._group.ready()
            await self._play(step)
        await self._group.ready()

    async def _play(self, step: Step) -> None:
        began = time.monotonic()
        fault = step.fault
        match fault.kind:
            case "kill":
                await self._end(fault.target, signal.SIGKILL)
            case "restart":
                await self._end(fault.target, signal.SIGTERM)
            case "freeze":
                await self._freeze(fault.target, step.seconds)
            case "network":
                async with self._ill(fault.target, fault.how):
                    await asyncio.sleep(step.seconds)
            case "disk full":
                await self._fill_disk(fault.target, step.seconds)
            case "join":
                await self._join(fault.target, step.seconds)
            case "salesforce":
                await self._trouble(fault.how, step.seconds)
        self.done.append(Done(step, began, time.monotonic()))

    async def _pid(self, name: str, other_than: int | None = None) -> int:
        """The process, once it is there. Raises TimeoutError."""
        try:
            async with asyncio.timeout(BACK_SECONDS):
                while (pid := self._group.pid(name)) in (None, other_than):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            raise TimeoutError(f"The {name} did not come back in {BACK_SECONDS:.0f} s.") from None
        assert pid is not None
        return pid

    async def _end(self, name: str, how: signal.Signals) -> None:
        pid = await self._pid(name)
        os.kill(pid, how)
        await self._pid(name, other_than=pid)

    async def _freeze(self, name: str, seconds: float) -> None:
        pid = await self._pid(name)
        with contextlib.suppress(ProcessLookupError):  # it may end by itself meanwhile
            os.kill(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(seconds)
            finally:
                os.kill(pid, signal.SIGCONT)

    @contextlib.asynccontextmanager
    async def _ill(self, target: str, how: str) -> AsyncIterator[None]:
        """All proxies of the target have this ill; `kafka` is all stages' way to it."""
        ill: Ill = how  # type: ignore[assignment]
        wanted = {f"kafka/{stage}" for stage in STAGES} if target == "kafka" else {target}
        proxies = [self._group.proxies[name] for name in wanted]
        try:
            for proxy in proxies:
                await proxy.sicken(ill)
            yield
        finally:
            for proxy in proxies:
                await proxy.sicken("healthy")

    async def _fill_disk(self, name: str, seconds: float) -> None:
        """Whatever process of that name runs meanwhile can write to no file: every write fails, as on a full disk.

        The kernel's limit on file sizes (RLIMIT_FSIZE, set from outside by prlimit) fails with EFBIG where a full
        disk fails with ENOSPC; RocksDB and we take both for an I/O error. A small tmpfs would need a mount, so
        root, and would have to be there before the process starts.
        """
        until = time.monotonic() + seconds
        _, hard = resource.prlimit(os.getpid(), resource.RLIMIT_FSIZE)
        limited: int | None = None
        while time.monotonic() < until:
            pid = self._group.pid(name)
            if pid is not None and pid != limited:
                limited = pid
                _limit(pid, 0, hard)
            await asyncio.sleep(LOOK_SECONDS)
        if limited is not None:
            _limit(limited, hard, hard)

    async def _join(self, stage: str, seconds: float) -> None:
        name = self._group.start(stage)
        await self._group.ready(name)
        await asyncio.sleep(seconds)
        await self._group.stop(name)

    async def _trouble(self, how: str, seconds: float) -> None:
        url = f"{self._group.org.url}/sandbox/faults"
        fault = {**SALESFORCE[how], "for_seconds": seconds}
        async with asyncio.timeout(BACK_SECONDS):
            while not await self._armed(url, fault):  # noqa: ASYNC110  it may still be coming back
                await asyncio.sleep(LOOK_SECONDS)
        await asyncio.sleep(seconds)

    async def _armed(self, url: str, fault: dict[str, object]) -> bool:
        try:
            async with self._group.http.post(url, json=fault) as answer:
                answer.raise_for_status()
                return True
        except (aiohttp.ClientConnectionError, TimeoutError):
            return False


def _limit(pid: int, soft: int, hard: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
