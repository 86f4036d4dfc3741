"""`revstream pause` and `revstream resume`: hold writes to Salesforce back, and let them go on."""

from __future__ import annotations

import time

import click

from stream.commands.told import DONE, EXIT_CODES, MISUSED, Refusal, run, say_json
from stream.control import ALL, Pause, pause_key
from stream.kafka.control import ControlReader, give
from stream.settings import Settings

_object = click.option("--object", "object_", metavar="NAME", help="Writes of this Salesforce object alone.")
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command(epilog=EXIT_CODES)
@_object
@click.option("--reason", required=True, help="Shown to whoever looks at /readyz of a writer.")
@_json
def pause(object_: str | None, reason: str, as_json: bool) -> None:
    """Holds writes to Salesforce back, also of writers that start later. Events are still taken and folded."""

    async def work(settings: Settings) -> int:
        if not reason.strip():
            raise Refusal(MISUSED, "Give a reason: somebody will wonder why nothing is written.")
        if object_ is not None and object_ not in settings.mapping:
            raise Refusal(MISUSED, f"{object_} is not written; {', '.join(settings.mapping)} are.")
        given = Pause(object_ or ALL, reason.strip(), int(time.time() * 1000))
        await give(settings.kafka, [given])
        return await _tell(settings, as_json)

    run(work)


@click.command(epilog=EXIT_CODES)
@_object
@_json
def resume(object_: str | None, as_json: bool) -> None:
    """Lets writes go on: those of one object, or everything that was paused."""

    async def work(settings: Settings) -> int:
        async with ControlReader(settings.kafka) as reader:
            paused = reader.orders.paused
        if object_ is not None and object_ not in paused:
            raise Refusal(MISUSED, f"{object_} is not paused; {', '.join(paused) or 'nothing'} is.")
        names = [object_] if object_ is not None else list(paused)
        await give(settings.kafka, take_back=[pause_key(name) for name in names])
        return await _tell(settings, as_json)

    run(work)


async def _tell(settings: Settings, as_json: bool) -> int:
    async with ControlReader(settings.kafka) as reader:
        paused = reader.orders.paused
    if as_json:
        say_json({"paused": paused})
    else:
        for name, reason in paused.items():
            click.echo(f"paused: {name} ({reason})")
        if not paused:
            click.echo("nothing is paused")
    return DONE
