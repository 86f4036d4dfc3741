"""Breaks a running Revstream for some minutes, and reports: `python -m tests.chaos`, or `make chaos`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from stream.sandbox.seed import seed as seed_salesforce
from tests.chaos import checker, faults
from tests.chaos.faults import Step
from tests.chaos.group import running
from tests.chaos.nemesis import Nemesis
from tests.chaos.report import Run, report
from tests.chaos.traffic import Traffic, world

REPORT = Path(__file__).parents[2] / "docs" / "chaos.md"


async def play(
    seed: int, seconds: float, per_second: float, steps: Sequence[Step], *, in_turn: bool = False
) -> Run:
    """Plays it: the steps at their times, or one after the other.

    Raises BrokerError, and TimeoutError when something does not come back or is not worked on.
    """
    lives = world(seed, seconds, per_second)
    traffic = Traffic(lives, seed, seconds)
    with tempfile.TemporaryDirectory(prefix="revstream-chaos-") as folder:
        async with running(Path(folder), lives) as group:
            before = await seed_salesforce(group.http, group.org.url, lives)
            nemesis = Nemesis(group)
            async with asyncio.TaskGroup() as tasks:
                flowing = tasks.create_task(traffic.flow(group.gateway))
                tasks.create_task(
                    nemesis.play_in_turn(steps)
                    if in_turn
                    else nemesis.play(steps, seconds - faults.QUIET_SECONDS)
                )
            delivery = flowing.result()
            await checker.settled(group)
            found = await checker.check(group, lives, delivery, before)
    return Run(
        seed=seed,
        minutes=seconds / 60,
        done=nemesis.done,
        taken=[traffic.between(done.began, done.ended) for done in nemesis.done],
        sent=delivery.sent,
        answers=delivery.answers,
        unreachable=delivery.unreachable,
        found=found,
    )


@click.command()
@click.option("--minutes", default=30.0, show_default=True, help="How long.")
@click.option("--seed", default=1, show_default=True, help="Repeats the lives and the faults.")
@click.option("--rate", default=10.0, show_default=True, help="Events a second.")
@click.option("--page", type=click.Path(path_type=Path), default=REPORT, help="Where the report goes.")
def main(minutes: float, seed: int, rate: float, page: Path) -> None:
    """Plays faults on a running group, writes the report, and fails when the promise was broken."""
    steps = faults.schedule(seed, minutes * 60)
    click.echo(f"{len(steps)} faults in {minutes:g} minutes …", err=True)
    run = asyncio.run(play(seed, minutes * 60, rate, steps))
    text = report(run)
    click.echo(text)
    page.write_text(text)
    sys.exit(0 if run.found.sound else 1)


if __name__ == "__main__":
    main()
