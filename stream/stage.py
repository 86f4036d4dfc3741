"""What every stage does alike: settings, logging, signals and the exit code."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from types import TracebackType

import uvloop

from stream.quiet import quieten
from stream.settings import SettingError, Settings, load

Stage = Callable[[Settings, asyncio.Event], Awaitable[None]]

FAILED = 1
MISCONFIGURED = 2
# Longer than the supervisor waits before it kills, shorter than the 30 s of grace that Kubernetes gives.
STOP_SECONDS = 25.0
# Of what has only to disconnect. On a Kafka that is there it takes less than a second.
CLOSE_SECONDS = 10.0


class _JsonLines(logging.Formatter):
    """One JSON object a line, for log collectors."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_to_stderr(settings: Settings) -> None:
    """Sets up logging. The libraries are kept to warnings: their lines are for their own developers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _JsonLines()
        if settings.revstream.log_format == "json"
        else logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for ours in ("stream", "agents", "tables"):
        logging.getLogger(ours).setLevel(settings.revstream.log_level)
    for faust in ("stream.kafka.chunks", "stream.kafka.recovery"):  # named by our modules, written by Faust's
        logging.getLogger(faust).setLevel(logging.WARNING)
    # Their warnings are of sensors that are not there, and of commits that take longer than the second between two.
    for noisy in ("faust.app.base", "mode.timers"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    quieten("aiokafka")


def main(stage: Stage) -> int:
    """Runs a stage until SIGTERM or SIGINT, and returns the process' exit code.

    0 after a clean stop, 1 when the stage failed, 2 when a setting is missing or wrong.
    """
    try:
        settings = load()
        log_to_stderr(settings)
        # What is loaded by now stays. Looking through it again and again takes a projector 5 % of its time.
        gc.freeze()
        uvloop.run(_until_told(stage, settings))
    except SettingError as error:
        print(f"revstream: {error}", file=sys.stderr)
        return MISCONFIGURED
    except Exception as error:
        logging.getLogger(stage.__module__).critical("%s", error, exc_info=error)
        return FAILED
    return 0


async def _until_told(stage: Stage, settings: Settings) -> None:
    stop = asyncio.Event()

    def told() -> None:
        stop.set()
        _last_resort(STOP_SECONDS).start()

    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, told)
    await stage(settings, stop)


class Parts(AsyncExitStack):
    """What a stage is made of, closed in reverse order when it stops or fails: within CLOSE_SECONDS, or the
    process ends."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        with or_end():
            return bool(await super().__aexit__(kind, error, trace))


@contextmanager
def or_end(seconds: float = CLOSE_SECONDS) -> Iterator[None]:
    """Ends the process with FAILED when what is done within is not done after so long.

    A Kafka client may wait for ever for a Kafka that is gone, also while it is closed; a process that no longer
    works and does not end would never be started again.
    """
    last = _last_resort(seconds)
    last.start()
    try:
        yield
    finally:
        last.cancel()


def _last_resort(seconds: float) -> threading.Timer:
    """It is a thread of its own that ends the process, since the loop may be what stands still. It tells of the
    error that is being handled now, which nobody else could tell of then."""
    error = sys.exception()

    def end() -> None:
        logging.getLogger(__name__).critical(
            "It did not stop within %.0f s, and ends now. What was not committed is done again.",
            seconds,
            exc_info=error,
        )
        os._exit(FAILED)

    last = threading.Timer(seconds, end)
    last.daemon = True
    return last
