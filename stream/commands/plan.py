"""`revstream offsets plan`: where the offsets would go, and what that would mean."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import click
import msgspec

from stream import backfill
from stream.commands import cost as costs
from stream.commands import options
from stream.commands.options import PLANNED, STAGES
from stream.commands.told import (
    DONE,
    EXIT_CODES,
    REFUSED,
    Refusal,
    Standing,
    run,
    say_json,
    say_table,
    when,
)
from stream.kafka import plan as plans
from stream.kafka.offsets import Offsets
from stream.kafka.plan import Plan, PlanError, Position, Scenario
from stream.salesforce.estimate import Estimate
from stream.settings import Settings
from stream.topics import WRITER_GROUP

SAMPLE = 200_000

FOLDED = (
    "Tables: they stay as they are. An older event does not change them; the current records are sent again."
)
WRITTEN = "Records: each is sent as it was asked for. One may be older for a while; the newest comes last."


@click.command(epilog=EXIT_CODES)
@options.stage
@click.option(
    "--to-datetime", metavar="TIME", help="To the first record of this time, such as 2026-03-01T03:00Z."
)
@click.option("--by-duration", metavar="DURATION", help="So long back from now: 2h, 1d12h or PT2H.")
@click.option("--shift-by", type=int, metavar="N", help="So many records on, or back when negative.")
@click.option("--to-offset", type=int, metavar="OFFSET")
@click.option("--to-earliest", is_flag=True, default=None, help="To the oldest record that is kept.")
@click.option("--to-latest", is_flag=True, default=None, help="Past the newest record: skips what waits.")
@click.option(
    "--from-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="topic,partition,offset"
)
@click.option("--partition", "only", metavar="N,…", help="These partitions alone.")
@click.option("--allow-clamp", is_flag=True, help="Accept targets that had to be moved into the log.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The plan file to write.")
@click.option("--sample", default=SAMPLE, show_default=True, help="Most records to read for the counts.")
@options.as_json
def plan(
    stage: str,
    only: str | None,
    allow_clamp: bool,
    out: Path | None,
    sample: int,
    as_json: bool,
    **scenarios: Any,
) -> None:
    """Works out where the offsets would go and what that would mean. Moves nothing.

    The plan is kept in a file for `revstream offsets apply`.
    """

    async def work(settings: Settings) -> int:
        scenario, asked = _scenario(scenarios)
        name = STAGES[stage]
        async with Offsets(settings.kafka) as cluster:
            positions = _only(await cluster.positions(name, PLANNED[name], times=True), only)
            moves = await _moves(cluster, scenario, asked, positions)
            made = Plan(await cluster.cluster(), name, scenario, _text(asked), int(time.time() * 1000), moves)
            oldest = await cluster.earliest(positions)
            first = await cluster.times({(m.topic, m.partition): m.target for m in moves if m.target < m.end})
            types, read, keys = await cluster.types(moves, sample)
        looked = sum(read.values())
        cost = await costs.of_plan(settings, made, keys, looked, min(first.values(), default=None))
        target = out or Path(f"revstream-plan-{stage}-{made.made_at}.json")
        refused = bool(made.marked) and not allow_clamp
        warnings = _warnings(made, scenario, asked, oldest)
        if not refused:
            target.write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=2))
        if as_json:
            say_json(
                {
                    "plan": made,
                    "file": None if refused else str(target),
                    "again": made.again,
                    "skipped": made.skipped,
                    "types": dict(types.most_common()),
                    "looked_at": looked,
                    "salesforce": cost,
                    "warnings": warnings,
                }
            )
        else:
            _tell(made, first, positions, types, looked, cost, warnings)
            if not refused:
                click.echo(f"\nNothing is moved yet. To do so: revstream offsets apply {target}")
        if refused:
            raise Refusal(
                REFUSED, "Some targets are not what you asked for; see MARK, or give --allow-clamp."
            )
        return DONE

    run(work, Standing("Nothing is moved, and no plan was written."))


def _scenario(given: dict[str, Any]) -> tuple[Scenario, Any]:
    chosen = [(name.replace("_", "-"), value) for name, value in given.items() if value is not None]
    if len(chosen) != 1:
        raise PlanError(
            "Give exactly one of --" + ", --".join(name.replace("_", "-") for name in given) + "."
        )
    name, value = cast(Scenario, chosen[0][0]), chosen[0][1]
    if name == "to-datetime":
        value = plans.read_time(value)
    elif name == "by-duration":
        value = datetime.now(UTC) - plans.read_duration(value)
    return name, value


def _only(positions: Sequence[Position], only: str | None) -> list[Position]:
    if only is None:
        return list(positions)
    try:
        wanted = {int(part) for part in only.split(",")}
    except ValueError:
        raise PlanError(f"--partition {only}: write it as 3 or 3,5.") from None
    if missing := wanted - {one.partition for one in positions}:
        raise PlanError(f"There is no partition {', '.join(map(str, sorted(missing)))}.")
    return [one for one in positions if one.partition in wanted]


async def _moves(
    cluster: Offsets, scenario: Scenario, asked: Any, positions: Sequence[Position]
) -> tuple[plans.Move, ...]:
    if isinstance(asked, datetime):
        found = await cluster.by_time(positions, int(asked.timestamp() * 1000))
        return plans.targets(scenario, positions, by_time=found)
    if isinstance(asked, Path):
        return plans.targets(scenario, positions, given=plans.read_offsets(asked.read_text()))
    return plans.targets(scenario, positions, number=asked if isinstance(asked, int) else 0)


def _text(asked: Any) -> str:
    return asked.isoformat() if isinstance(asked, datetime) else "" if asked is True else str(asked)


def _warnings(plan: Plan, scenario: Scenario, asked: Any, oldest: dict[plans.Place, int]) -> list[str]:
    told = []
    if isinstance(asked, datetime) and oldest and asked.timestamp() * 1000 < min(oldest.values()):
        told.append(
            f"The oldest record kept is of {when(min(oldest.values()))}; what came before it is not in Kafka and "
            f"cannot be replayed. {_instead(plan, asked)}"
        )
    if plan.skipped:
        told.append(f"{plan.skipped} records that nobody has read would be skipped for good.")
    return told


def _instead(plan: Plan, asked: datetime) -> str:
    """What to do about a time before the log's beginning."""
    if plan.group == WRITER_GROUP:
        return f"The projector writes it anew: revstream offsets plan --to-datetime {asked.isoformat()}"
    return backfill.advice(asked, datetime.now(UTC))


def _tell(
    plan: Plan,
    first: dict[plans.Place, int],
    positions: Sequence[Position],
    types: Counter[str],
    looked: int,
    cost: Estimate,
    warnings: Iterable[str],
) -> None:
    held = {(one.topic, one.partition): one for one in positions}
    click.echo(f"group {plan.group}, {plan.scenario} {plan.asked}; cluster {plan.cluster}\n")
    say_table(
        (
            "TOPIC",
            "PARTITION",
            "START",
            "COMMITTED",
            "TARGET",
            "END",
            "AGAIN",
            "COMMITTED AT",
            "TARGET AT",
            "MARK",
        ),
        [
            (
                move.topic,
                move.partition,
                move.start,
                "-" if move.committed is None else move.committed,
                move.target,
                move.end,
                move.again,
                when(held[move.topic, move.partition].committed_at),
                when(first.get((move.topic, move.partition))),
                move.mark,
            )
            for move in plan.moves
        ],
    )
    if plan.again:
        click.echo(f"\n{plan.again} records are read again. Of the first {looked}, by type:")
        for kind, count in types.most_common():
            click.echo(f"  {count:>9}  {kind}")
        left = "Salesforce was not asked" if cost.left is None else f"{cost.left} are left today"
        click.echo(
            f"\nSalesforce: {cost.told} ({left}).\n{WRITTEN if plan.group == WRITER_GROUP else FOLDED}"
        )
    for warning in warnings:
        click.echo(f"\nWARNING  {warning}")
