"""A stage that is told to stop, or fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

STUBBORN = """
import asyncio, sys, time
from stream import stage
stage.STOP_SECONDS = 0.2

async def work(settings, stop):
    print("works", flush=True)
    await stop.wait()
    print("was told", flush=True)
    {how}

sys.exit(stage.main(work))
"""


def told_to_stop(how: str, folder: Path) -> tuple[int, str, str]:
    """Exit code, output and errors of a stage that does this when it is to stop."""
    with subprocess.Popen(
        [sys.executable, "-c", STUBBORN.format(how=how)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "works\n"
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=60)
    return process.returncode, out, errors


@pytest.mark.parametrize("how", ["await asyncio.Event().wait()", "time.sleep(600)"])
def test_one_that_does_not_stop_is_ended_and_says_so(how: str, tmp_path: Path) -> None:
    code, out, errors = told_to_stop(how, tmp_path)
    assert (code, out) == (1, "was told\n")
    assert "did not stop within" in errors


def test_one_that_stops_ends_well(tmp_path: Path) -> None:
    assert told_to_stop("return", tmp_path) == (0, "was told\n", "")


FAILING = """
import asyncio, sys
from types import SimpleNamespace
from pathlib import Path
from stream import stage
from stream.kafka import worker
stage.or_end.__wrapped__.__defaults__ = (0.2,)

async def for_ever():
    await asyncio.Event().wait()

class App:
    "A Faust app that crashed and took with it what its stop waits for."
    crash_reason = OSError("Kafka is gone")
    conf = SimpleNamespace(datadir=Path("."))
    def __init__(self):
        self._crashed = asyncio.Event()
        self.tables = SimpleNamespace(recovery=SimpleNamespace(completed=asyncio.Event()))
    def finalize(self): pass
    async def start(self): self._crashed.set()
    async def stop(self): await for_ever()

async def crashed(settings, stop):
    await worker.run(App(), stop)

async def disconnects(settings, stop):
    async with stage.Parts() as parts:
        parts.push_async_callback(for_ever)
        raise OSError("Kafka is gone")

sys.exit(stage.main({which}))
"""


@pytest.mark.parametrize("which", ["crashed", "disconnects"])
def test_one_that_fails_and_then_waits_for_ever_is_ended_and_says_so(which: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FAILING.replace("{which}", which)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert "did not stop within" in ended.stderr
    assert "OSError: Kafka is gone" in ended.stderr
