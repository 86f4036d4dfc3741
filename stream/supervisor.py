"""One process group: Kafka and the stages as children, started in order, restarted when they die.

The children's process IDs are kept in `processes.json` under the state folder, so that a person (or a test)
can find each one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from stream.kafka.broker import Broker, BrokerError
from stream.orphans import die_with_parent
from stream.stage import MISCONFIGURED

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0
# A child that ran for this long is not in a crash loop: its next restart comes at once.
STEADY_SECONDS = 30.0
STOP_SECONDS = 20.0
# A killed Kafka goes over its log before it answers.
KAFKA_SECONDS = 600.0


class ChildError(Exception):
    """A child cannot run. The message says which; the child itself has said why."""


class Child(msgspec.Struct, frozen=True):
    """A Python module to run as a process, with settings of its own on top of the environment."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}


class Supervisor:
    """Keeps children running until `stop()`, which ends them in the order they were added, and Kafka last.

    `failed` is set when a child ends for a setting that is wrong or missing, which no restart mends. `restarts`
    counts by name how often one was started again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._broker: Broker | None = None
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._stopping: set[str] = set()
        self.restarts: Counter[str] = Counter()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start_kafka(self, broker: Broker) -> None:
        """Starts the embedded Kafka and keeps it running. Raises BrokerError."""
        self._broker = broker
        broker.launch()
        await asyncio.to_thread(broker.await_answer)
        self._record()
        self._keepers["kafka"] = asyncio.create_task(self._keep_kafka(broker))

    def start(self, child: Child) -> None:
        """Starts a child and keeps it running; one that was stopped may be started again."""
        self._stopping.discard(child.name)
        self._keepers[child.name] = asyncio.create_task(self._keep(child))

    async def stop(self, names: Sequence[str] | None = None) -> None:
        """Ends the named children (all of them by default), each by SIGTERM and a time to finish its work."""
        for name in names or [*self._keepers]:
            if name == "kafka" and names is None:
                continue
            await self._stop_child(name)
        if names is None and self._broker is not None:
            await self._stop_child("kafka")
            await asyncio.to_thread(self._broker.stop)
            self._record()
        if not self.failed.done():
            self.failed.cancel()

    async def _stop_child(self, name: str) -> None:
        self._stopping.add(name)
        process = self._processes.get(name)
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                log.warning("%s did not stop in %.0f s and is killed.", name, STOP_SECONDS)
                process.kill()
        if keeper := self._keepers.pop(name, None):
            keeper.cancel()
            await asyncio.wait([keeper])

    async def _keep(self, child: Child) -> None:
        pause = FIRST_PAUSE
        while child.name not in self._stopping:
            began = time.monotonic()
            process = self._processes[child.name] = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                child.module,
                *child.arguments,
                env={**os.environ, **child.environment},
                stdin=asyncio.subprocess.DEVNULL,
                preexec_fn=die_with_parent(),
                start_new_session=True,  # Ctrl-C reaches us alone, and we stop them in order
            )
            self._record()
            code = await process.wait()
            if child.name in self._stopping:
                return
            if code == MISCONFIGURED:
                if not self.failed.done():
                    self.failed.set_exception(
                        ChildError(f"The {child.name} cannot start with these settings.")
                    )
                return
            pause = (
                FIRST_PAUSE if time.monotonic() - began > STEADY_SECONDS else min(2 * pause, LONGEST_PAUSE)
            )
            self.restarts[child.name] += 1
            log.warning("The %s ended with %d; it is started again in %.1f s.", child.name, code, pause)
            await asyncio.sleep(pause)

    async def _keep_kafka(self, broker: Broker) -> None:
        pause = FIRST_PAUSE
        while True:
            await asyncio.sleep(pause)
            if broker.pid is not None:
                pause = FIRST_PAUSE
                continue
            self.restarts["kafka"] += 1
            log.warning("Kafka ended; it is started again.")
            try:
                broker.launch()
                await asyncio.to_thread(broker.await_answer, KAFKA_SECONDS)
            except BrokerError as error:
                pause = min(2 * pause, LONGEST_PAUSE)
                log.error("%s It is tried again in %.1f s.", error, pause)
            self._record()

    def _record(self) -> None:
        """Writes `processes.json`, whole or not at all."""
        running = {name: p.pid for name, p in self._processes.items() if p.returncode is None}
        if self._broker and self._broker.pid:
            running["kafka"] = self._broker.pid
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = self._folder / "processes.json.new"
        draft.write_text(json.dumps(running))
        draft.replace(self._folder / "processes.json")
