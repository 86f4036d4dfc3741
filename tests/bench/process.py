"""The processes that are measured."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from stream.orphans import die_with_parent


@asynccontextmanager
async def child(*arguments: str, python: str = sys.executable, **environment: str) -> AsyncIterator[int]:
    """A Python module as a child; gives its process ID. It is ended by SIGTERM, and killed if it stays."""
    process = await asyncio.create_subprocess_exec(
        *(python, "-m", *arguments),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.DEVNULL,
        preexec_fn=die_with_parent(),
    )
    try:
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


def cpu(pid: int) -> float:
    """CPU seconds that a process has used, its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def alive(processes: Sequence[int]) -> None:
    """Raises RuntimeError when one of them has ended, so that nobody waits for it."""
    for pid in processes:
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            raise RuntimeError(f"The measured process {pid} has ended; its own words are above.")
