"""`revstream pause` and `revstream resume`: hold writes to Salesforce or a stage back, and let them go on."""

from __future__ import annotations

import time
from typing import Any

import click

from stream.commands import options
from stream.commands.told import DONE, EXIT_CODES, MISUSED, Refusal, Standing, run, say_json
from stream.control import ALL, Hold, Orders, Pause, hold_key, pause_key
from stream.kafka.control import ControlReader, give
from stream.settings import Settings

STANDING = "The order may be given or not: give it again, or take it back."


def _what(command: Any) -> Any:
    command = click.option(
        "--object", "object_", metavar="NAME", help="Writes of this Salesforce object alone."
    )(command)
    stage = click.Choice(list(options.STAGES))
    return click.option("--stage", type=stage, help="This stage: its processes leave the group and wait.")(
        command
    )


@click.command(epilog=EXIT_CODES)
@_what
@click.option("--reason", required=True, help="Shown on /readyz of the stage.")
@options.as_json
def pause(object_: str | None, stage: str | None, reason: str, as_json: bool) -> None:
    """Holds writes to Salesforce back: events are still taken and folded. With --stage a whole stage, so that its
    offsets can be moved. What starts later is held back, too."""

    async def work(settings: Settings) -> int:
        if not reason.strip():
            raise Refusal(MISUSED, "Give a reason: somebody will wonder why nothing is written.")
        if object_ is not None and stage is not None:
            raise Refusal(MISUSED, "Give --object or --stage, not both.")
        if object_ is not None and object_ not in settings.mapping:
            raise Refusal(MISUSED, f"{object_} is not written; {', '.join(settings.mapping)} are.")
        now = int(time.time() * 1000)
        order = Hold(stage, reason.strip(), now) if stage else Pause(object_ or ALL, reason.strip(), now)
        await give(settings.kafka, [order])
        return await _tell(settings, as_json)

    run(work, Standing(STANDING))


@click.command(epilog=EXIT_CODES)
@_what
@options.as_json
def resume(object_: str | None, stage: str | None, as_json: bool) -> None:
    """Lets writes go on, or a stage: the one named, or all that was paused."""

    async def work(settings: Settings) -> int:
        orders = await _orders(settings)
        for given, there in ((object_, orders.paused), (stage, orders.held)):
            if given is not None and given not in there:
                raise Refusal(MISUSED, f"{given} is not paused; {', '.join(there) or 'nothing'} is.")
        every = object_ is None and stage is None
        names = [pause_key(name) for name in orders.paused if every or name == object_]
        names += [hold_key(name) for name in orders.held if every or name == stage]
        await give(settings.kafka, take_back=names)
        return await _tell(settings, as_json)

    run(work, Standing(STANDING))


async def _orders(settings: Settings) -> Orders:
    async with ControlReader(settings.kafka) as reader:
        return reader.orders


async def _tell(settings: Settings, as_json: bool) -> int:
    orders = await _orders(settings)
    if as_json:
        say_json({"paused": orders.paused, "stages": orders.held})
        return DONE
    for name, reason in orders.paused.items():
        click.echo(f"paused: writes of {name} ({reason})")
    for name, reason in orders.held.items():
        click.echo(f"paused: the {name} ({reason})")
    if not orders.paused and not orders.held:
        click.echo("nothing is paused")
    return DONE
