"""The projector stage: `python -m agents`."""

from __future__ import annotations

import asyncio
import logging
import sys

from agents.app import Projector
from stream.kafka import worker
from stream.settings import Settings
from stream.stage import main

log = logging.getLogger("agents")


async def projector(settings: Settings, stop: asyncio.Event) -> None:
    """Projects until told to stop. Raises WorkerError when the worker fails."""
    projector = Projector(settings)
    await projector.start()
    try:
        await worker.run(projector.app, stop, lambda: log.info("The projector is ready."))
    finally:
        await projector.close()


if __name__ == "__main__":
    sys.exit(main(projector))
