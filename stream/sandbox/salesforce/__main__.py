"""The local Salesforce as a process: `python -m stream.sandbox.salesforce`.

Its first line on stdout is a JSON object with `url`, `https_url`, `ca_file` and `pid`, once it can be called.
SIGTERM and SIGINT end it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec
import uvloop

from stream.sandbox.salesforce.options import HELP, Identity, Options
from stream.sandbox.salesforce.server import LocalSalesforce


def _knobs(command: Callable[..., None]) -> Callable[..., None]:
    """One command line option for each of `Options`."""
    for name, value in reversed(msgspec.structs.asdict(Options()).items()):
        flag = f"--{name.replace('_', '-')}"
        command = click.option(flag, default=value, show_default=True, help=HELP[name])(command)
    return command


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--host", default="127.0.0.1", show_default=True, help="Whoever reaches it steers it.")
@click.option("--port", default=0, help="For http; 0 is any free one.")
@click.option("--https-port", default=0, help="For https; 0 is any free one.")
@click.option("--state", type=click.Path(path_type=Path), help="Keep records and certificate in this folder.")
@click.option("--client-id", default="sandbox", show_default=True)
@click.option("--client-secret", default="sandbox", show_default=True)
@click.option("--username", default=Identity().username, show_default=True)
@click.option("--jwt-public-key", type=click.File(), help="PEM; allows the JWT bearer login.")
@_knobs
def main(
    host: str,
    port: int,
    https_port: int,
    state: Path | None,
    client_id: str,
    client_secret: str,
    username: str,
    jwt_public_key: Any,
    **knobs: Any,
) -> None:
    """Runs a local Salesforce until it is told to stop."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    key = jwt_public_key.read() if jwt_public_key else None
    try:
        salesforce = LocalSalesforce(
            host=host,
            port=port,
            https_port=https_port,
            state=state,
            identity=Identity(client_id, client_secret, username, key),
            options=Options(**knobs),
        )
        uvloop.run(_serve(salesforce))
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None


async def _serve(salesforce: LocalSalesforce) -> None:
    told = asyncio.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(ending, told.set)
    async with salesforce:
        ready = {
            "url": salesforce.url,
            "https_url": salesforce.https_url,
            "ca_file": str(salesforce.ca_file.absolute()),
            "pid": os.getpid(),
        }
        print(msgspec.json.encode(ready).decode(), flush=True)
        await told.wait()


if __name__ == "__main__":
    main()
