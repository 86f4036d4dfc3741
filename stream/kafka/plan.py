"""Where a group's offsets are to go: from what the cluster holds and what was asked for to a plan. Pure.

The scenarios are those of `kafka-consumer-groups --reset-offsets` (KIP-122). Unlike it, nothing is clamped in
silence: an offset outside the log, or a time without a record, is marked, and such a plan is refused unless it
was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

Scenario = Literal[
    "to-datetime", "by-duration", "shift-by", "to-offset", "to-earliest", "to-latest", "from-file", "undo"
]
Mark = Literal["", "CLAMPED", "NOT_FOUND"]
Place = tuple[str, int]

FORMAT = 1

_UNIT = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_ISO = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_SHORT = re.compile(r"(?:\d+[dhms])+")


class PlanError(ValueError):
    """What was asked for cannot be planned, or a plan cannot be used. The message says why and what to do."""


class Position(msgspec.Struct, frozen=True):
    """What the cluster holds of a partition and a group. Offsets; `committed` is None where the group has none.
    `committed_at` is the time (epoch milliseconds) of the first record not yet committed, None when caught up."""

    topic: str
    partition: int
    start: int
    end: int
    committed: int | None = None
    committed_at: int | None = None

    @property
    def at(self) -> int:
        """Where the group reads on: it begins at the log's start where it has committed nothing."""
        return self.start if self.committed is None else self.committed

    @property
    def lag(self) -> int:
        """Records not yet committed that can still be read."""
        return max(0, self.end - max(self.at, self.start))


class Move(msgspec.Struct, frozen=True):
    """One partition of a plan. `mark` says that `target` is not quite what was asked for."""

    topic: str
    partition: int
    start: int
    end: int
    committed: int | None
    target: int
    mark: Mark = ""

    @property
    def again(self) -> int:
        """Records that are read again; negative are records that are skipped."""
        return (self.start if self.committed is None else max(self.committed, self.start)) - self.target


class Plan(msgspec.Struct, frozen=True):
    """A change of a group's offsets, as it was worked out at `made_at` (epoch milliseconds)."""

    cluster: str
    group: str
    scenario: Scenario
    asked: str
    made_at: int
    moves: tuple[Move, ...]
    format: int = FORMAT

    @property
    def marked(self) -> tuple[Move, ...]:
        """The moves whose target had to be changed."""
        return tuple(move for move in self.moves if move.mark)

    @property
    def again(self) -> int:
        """Records that are read again."""
        return sum(max(0, move.again) for move in self.moves)

    @property
    def skipped(self) -> int:
        """Records that are never read."""
        return sum(max(0, -move.again) for move in self.moves)


def targets(
    scenario: Scenario,
    positions: Sequence[Position],
    *,
    number: int = 0,
    by_time: Mapping[Place, int | None] | None = None,
    given: Mapping[Place, int] | None = None,
) -> tuple[Move, ...]:
    """Each partition's move. `number` is the shift or the offset; `by_time` the first offset at or after the
    time asked for, None where there is none; `given` the offsets of a file, which names what is to move."""
    moves = []
    for position in positions:
        place = (position.topic, position.partition)
        if given is not None and place not in given:
            continue
        wanted: int | None
        match scenario:
            case "to-earliest":
                wanted = position.start
            case "to-latest":
                wanted = position.end
            case "shift-by":
                wanted = position.at + number
            case "to-offset":
                wanted = number
            case "to-datetime" | "by-duration":
                wanted = (by_time or {}).get(place)
            case "from-file" | "undo":
                wanted = (given or {})[place]
        moves.append(_move(position, wanted))
    if given is not None and (unknown := given.keys() - {(p.topic, p.partition) for p in positions}):
        names = ", ".join(f"{topic}:{partition}" for topic, partition in sorted(unknown))
        raise PlanError(f"The file names partitions that the group does not read: {names}.")
    return tuple(moves)


def _move(position: Position, wanted: int | None) -> Move:
    mark: Mark = ""
    target = wanted if wanted is not None else position.end
    if wanted is None:
        # Without a record after the time, the end is right only if there is nothing to skip.
        mark = "NOT_FOUND" if position.lag else ""
    elif not position.start <= wanted <= position.end:
        target, mark = min(max(wanted, position.start), position.end), "CLAMPED"
    return Move(
        position.topic,
        position.partition,
        position.start,
        position.end,
        position.committed,
        target,
        mark,
    )


def drift(plan: Plan, cluster: str, positions: Sequence[Position]) -> list[str]:
    """Why a plan does not fit the cluster any more, a sentence each; none when it may be applied."""
    if cluster != plan.cluster:
        return [f"The plan is for cluster {plan.cluster}; this is {cluster}."]
    now = {(position.topic, position.partition): position for position in positions}
    found = []
    for move in plan.moves:
        name = f"{move.topic}:{move.partition}"
        position = now.get((move.topic, move.partition))
        if position is None:
            found.append(f"{name} is gone.")
        elif position.committed != move.committed:
            found.append(f"{name} was committed at {move.committed} and is at {position.committed} now.")
        elif not position.start <= move.target <= position.end:
            found.append(f"{name} holds {position.start} to {position.end} now; the target is {move.target}.")
    return found


def undo(plan: Plan, made_at: int) -> Plan:
    """The plan that takes an applied one back. A partition without a commit goes back to the log's start, which
    is where its group would begin."""
    moves = tuple(
        msgspec.structs.replace(
            move,
            committed=move.target,
            target=move.start if move.committed is None else max(move.committed, move.start),
            mark="",
        )
        for move in plan.moves
    )
    return msgspec.structs.replace(
        plan, scenario="undo", asked=f"{plan.scenario} {plan.asked}".strip(), made_at=made_at, moves=moves
    )


def read(text: bytes) -> Plan:
    """A plan file. Raises PlanError when it is none, or of another format."""
    try:
        plan = msgspec.json.decode(text, type=Plan)
    except msgspec.DecodeError as error:
        raise PlanError(f"This is no plan file: {error}.") from None
    if plan.format != FORMAT:
        raise PlanError(f"The plan file has format {plan.format}; this Revstream reads {FORMAT}.")
    places = [(move.topic, move.partition) for move in plan.moves]
    if len(set(places)) != len(places):
        raise PlanError("The plan file names a partition twice.")
    return plan


def read_offsets(text: str) -> dict[Place, int]:
    """The CSV of `kafka-consumer-groups --export`: `topic,partition,offset`, or with the group before it."""
    given: dict[Place, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        cells = [cell.strip().strip('"') for cell in line.split(",")]
        if cells == [""]:
            continue
        try:
            topic, partition, offset = cells[-3:]
            place = (topic, int(partition))
            given[place] = int(offset)
        except ValueError:
            raise PlanError(f"Line {number} is not `topic,partition,offset`.") from None
    return given


def read_time(text: str) -> datetime:
    """A time with its zone (ISO 8601). Raises PlanError: without a zone it could be two hours in two offices."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise PlanError(f"{text!r} is no time; write it as 2026-03-01T03:00:00Z.") from None
    if at.tzinfo is None:
        utc, local = at.replace(tzinfo=UTC), at.astimezone()
        raise PlanError(
            f"{text!r} has no zone. In UTC it is {utc.isoformat()}; on this machine {local.isoformat()}. "
            f"Give one of the two."
        )
    return at.astimezone(UTC)


def read_duration(text: str) -> timedelta:
    """`PT2H` or `P1DT30M` (ISO 8601), or short: `2h`, `1d12h`. Raises PlanError."""
    if _SHORT.fullmatch(text):
        return timedelta(seconds=sum(int(n) * _UNIT[u] for n, u in re.findall(r"(\d+)([dhms])", text)))
    found = _ISO.fullmatch(text)
    if found is None or not any(found.groups()):
        raise PlanError(f"{text!r} is no duration; write it as 2h, 1d12h or PT2H.")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
