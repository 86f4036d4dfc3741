"""The supervisor keeps running what it has started."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from stream import supervisor as module
from stream.kafka.broker import Broker, BrokerError
from stream.supervisor import Child, Supervisor

DEADLINE = 30.0


class FakeBroker:
    """Dies when told to, and comes up at the third try."""

    def __init__(self) -> None:
        self.pid: int | None = None
        self.launches = 0
        self.failures = 0

    def launch(self) -> None:
        self.launches += 1

    def await_answer(self, timeout: float = 60) -> None:
        if self.failures:
            self.failures -= 1
            raise BrokerError("The embedded Kafka did not answer.")
        self.pid = os.getpid()

    def stop(self) -> None:
        self.pid = None


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110  another process
            await asyncio.sleep(0.01)


def pids(folder: Path) -> dict[str, int]:
    path = folder / "processes.json"
    found: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    return found


async def test_a_kafka_that_does_not_come_up_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    broker = FakeBroker()
    supervisor = Supervisor(tmp_path)
    await supervisor.start_kafka(cast(Broker, broker))
    broker.failures, broker.pid = 2, None
    await until(lambda: broker.pid is not None)
    assert broker.launches == 4
    await until(lambda: "kafka" in pids(tmp_path))
    await supervisor.stop()
    assert pids(tmp_path) == {}


async def test_a_killed_child_comes_back_and_a_stopped_one_can_be_started_again(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    child = Child("waiter", "http.server", ("0", "--bind", "127.0.0.1"))
    supervisor.start(child)
    await until(lambda: "waiter" in pids(tmp_path))
    first = pids(tmp_path)["waiter"]
    os.kill(first, signal.SIGKILL)
    await until(lambda: pids(tmp_path).get("waiter", first) != first)
    assert supervisor.restarts == {"waiter": 1}
    second = pids(tmp_path)["waiter"]
    await supervisor.stop(["waiter"])
    supervisor.start(child)
    await until(lambda: pids(tmp_path).get("waiter", second) != second)
    await supervisor.stop()
