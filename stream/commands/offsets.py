"""`revstream offsets`: where a group stands, and moving it."""

from __future__ import annotations

import time
from typing import Any

import click
import msgspec

from stream.commands import options
from stream.commands.move import apply, undo
from stream.commands.options import STAGES
from stream.commands.plan import plan
from stream.commands.told import DONE, EXIT_CODES, run, say_json, say_table, when
from stream.kafka.lag import GROUPS
from stream.kafka.offsets import Offsets
from stream.kafka.plan import Position
from stream.settings import Settings


@click.group(epilog=EXIT_CODES)
def offsets() -> None:
    """Shows and moves the committed offsets of the projector or the writer."""


offsets.add_command(plan)
offsets.add_command(apply)
offsets.add_command(undo)


class Shown(msgspec.Struct, frozen=True):
    """What `show` tells."""

    cluster: str
    group: str
    state: str
    members: tuple[Any, ...]
    partitions: tuple[dict[str, Any], ...]


@offsets.command(epilog=EXIT_CODES)
@options.stage
@options.as_json
def show(stage: str, as_json: bool) -> None:
    """Per partition: log start, committed, end, lag, time of the first record not yet committed."""

    async def work(settings: Settings) -> int:
        name = STAGES[stage]
        async with Offsets(settings.kafka) as cluster:
            group = await cluster.group(name)
            positions = await cluster.positions(name, GROUPS[name], times=True)
            shown = Shown(
                await cluster.cluster(), name, group.state, group.members, tuple(map(_position, positions))
            )
        if as_json:
            say_json(shown)
            return DONE
        click.echo(f"group {name}: {group.state}, {len(group.members)} members; cluster {shown.cluster}")
        say_table(
            ("TOPIC", "PARTITION", "START", "COMMITTED", "END", "LAG", "LAG SECONDS", "NEXT RECORD"),
            [
                (
                    one["topic"],
                    one["partition"],
                    one["start"],
                    "-" if one["committed"] is None else one["committed"],
                    one["end"],
                    one["lag"],
                    "-" if one["lag_seconds"] is None else one["lag_seconds"],
                    when(one["committed_at"]),
                )
                for one in shown.partitions
            ],
        )
        return DONE

    run(work)


def _position(one: Position) -> dict[str, Any]:
    # Caught up is no lag; a record that could not be read leaves it unknown.
    age = None if one.committed_at is None else max(0, round(time.time() - one.committed_at / 1000))
    return {**msgspec.to_builtins(one), "lag": one.lag, "lag_seconds": age if one.lag else 0}
