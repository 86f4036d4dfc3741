"""Several gateway processes on one port: the kernel spreads the connections (SO_REUSEPORT)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

from stream.gateway.webhook import PATH
from stream.listen import address, bind, parse
from stream.settings import SettingError, Settings
from stream.supervisor import Child, ChildError, Supervisor

log = logging.getLogger("stream.gateway")


async def together(settings: Settings, stop: asyncio.Event) -> None:
    """Runs `gateway.processes` processes until told to stop; one that dies is started again.

    Each is a gateway of one process, with an internal port of its own: the first has `metrics_listen`, the
    next the port after it, and so on. They end with this process, however it ends. Their process IDs are in
    `gateway/processes.json` under the state folder. Raises SettingError when this process or one of them
    finds a setting wrong.
    """
    of = settings.gateway
    # Bound and never listening: it keeps the port while a process is started again, and finds one for port 0.
    held = bind(of.listen, ("gateway", "listen"), shared=True)
    supervisor = Supervisor(settings.revstream.state_dir / "gateway")
    try:
        for number, internal in enumerate(_internal_addresses(settings), start=1):
            supervisor.start(
                Child(
                    f"gateway {number}",
                    "stream.gateway",
                    environment={
                        "GATEWAY_PROCESSES": "1",
                        "GATEWAY_LISTEN": address(held),
                        "GATEWAY_METRICS_LISTEN": internal,
                    },
                )
            )
        log.info("Listening on http://%s%s with %d processes.", address(held), PATH, of.processes)
        told: asyncio.Future[Any] = asyncio.create_task(stop.wait())
        await asyncio.wait([told, supervisor.failed], return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if supervisor.failed.done():
            supervisor.failed.result()
    except ChildError as error:
        raise SettingError(str(error)) from None
    finally:
        await supervisor.stop()
        held.close()


def _internal_addresses(settings: Settings) -> Iterator[str]:
    """One address a process; port 0 gives each a free one."""
    host, port = parse(settings.gateway.metrics_listen, ("gateway", "metrics_listen"))
    host = f"[{host}]" if ":" in host else host
    for number in range(settings.gateway.processes):
        yield f"{host}:{port + number if port else 0}"
