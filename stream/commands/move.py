"""`revstream offsets apply` and `undo`: doing what a plan says, and taking it back."""

from __future__ import annotations

import time
from pathlib import Path

import click
import msgspec

from stream.commands import options
from stream.commands.options import PLANNED
from stream.commands.question import typed
from stream.commands.told import (
    ACTIVE,
    DONE,
    DRIFTED,
    EXIT_CODES,
    REFUSED,
    Refusal,
    Standing,
    run,
    say_json,
)
from stream.kafka import plan as plans
from stream.kafka.offsets import Group, Offsets
from stream.kafka.plan import Plan, PlanError
from stream.settings import Settings


@click.command(epilog=EXIT_CODES)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@options.wait
@click.option(
    "--undo-file", type=click.Path(dir_okay=False, path_type=Path), help="Where to keep the way back."
)
@options.yes
@options.as_json
def apply(file: Path, wait: float, undo_file: Path | None, yes: bool, as_json: bool) -> None:
    """Does what a plan says, if the cluster is still as the plan found it.

    The way back is kept in a file first; `revstream offsets undo` takes it.
    """
    _apply(file, wait, undo_file, yes=yes, as_json=as_json)


@click.command(epilog=EXIT_CODES)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@options.wait
@options.yes
@options.as_json
def undo(file: Path, wait: float, yes: bool, as_json: bool) -> None:
    """Takes an applied plan back, with the undo file that `apply` kept, if nothing was read since."""
    _apply(file, wait, None, yes=yes, as_json=as_json)


def _apply(file: Path, wait: float, undo_file: Path | None, *, yes: bool, as_json: bool) -> None:
    text = file.read_bytes()
    standing = Standing("Nothing was moved.")

    async def work(settings: Settings) -> int:
        plan = plans.read(text)
        if plan.group not in PLANNED:
            raise PlanError(f"The plan is for the group {plan.group}, which is not one of Revstream's.")
        async with Offsets(settings.kafka) as cluster:
            group = await cluster.group(plan.group)
            if group.active and wait:
                click.echo(f"Waiting {wait:.0f} s. {members(plan.group, group)}", err=True)
                group = await cluster.until_inactive(plan.group, wait)
            if group.active:
                raise Refusal(ACTIVE, members(plan.group, group))
            positions = await cluster.positions(plan.group, PLANNED[plan.group])
            found = plans.drift(plan, await cluster.cluster(), positions)
            if found:
                raise Refusal(DRIFTED, " ".join(found) + " Make a new plan.")
            if not yes:
                await _confirm(plan)
            back = undo_file or file.with_name(f"{file.stem}-undo.json")
            if plan.scenario != "undo":
                kept = plans.undo(plan, int(time.time() * 1000))
                back.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=2))
            standing.told = (
                "The offsets may be moved or not: revstream offsets show tells. "
                f"revstream offsets undo {back} takes it back."
            )
            await cluster.move(plan.group, plan.moves)
        standing.told = f"{plan.group} is moved."
        way_back = None if plan.scenario == "undo" else str(back)
        if as_json:
            say_json({"applied": plan, "undo": way_back})
        else:
            click.echo(f"{plan.group} is moved; {plan.again} records are read again once the stage goes on.")
            if way_back:
                click.echo(f"Before it does, this takes it back: revstream offsets undo {way_back}")
        return DONE

    run(work, standing)


async def _confirm(plan: Plan) -> None:
    click.echo(
        f"{plan.again} records will be read again and {plan.skipped} skipped, in {len(plan.moves)} partitions.",
        err=True,
    )
    if await typed(f"Type the group's name ({plan.group}) to go on") != plan.group:
        raise Refusal(REFUSED, "Nothing was moved.")


def members(name: str, group: Group) -> str:
    """Who is in a group, and how they are brought to leave it."""
    who = "; ".join(f"{member.client} on {member.host}" for member in group.members) or group.state
    return (
        f"The group {name} has members ({who}). revstream pause --stage {name.removeprefix('revstream-')} has them "
        f"leave it. A killed process is a member until its session times out; --wait 60 waits for that."
    )
