"""Plans of offsets: nothing is clamped unsaid, drift is seen, and an undo leads back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.kafka import plan as plans
from stream.kafka.plan import Move, Plan, PlanError, Position, Scenario, drift, targets, undo

TOPIC = "stripe.events"


@st.composite
def positions(draw: st.DrawFn) -> list[Position]:
    found = []
    for partition in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, 50))
        end = start + draw(st.integers(0, 50))
        # A commit may have been overtaken by retention.
        committed = draw(st.none() | st.integers(max(0, start - 10), end))
        found.append(Position(TOPIC, partition, start, end, committed))
    return found


def planned(moves: tuple[Move, ...]) -> Plan:
    return Plan("cluster", "group", "shift-by", "-3", 1, moves)


def applied(held: list[Position], plan: Plan) -> list[Position]:
    at = {(move.topic, move.partition): move.target for move in plan.moves}
    return [msgspec.structs.replace(one, committed=at[one.topic, one.partition]) for one in held]


NUMBERED = st.sampled_from(["shift-by", "to-offset", "to-earliest", "to-latest"])


@given(positions(), NUMBERED, st.integers(-120, 120))
def test_a_target_is_in_the_log_and_marked_when_it_is_not_what_was_asked(
    held: list[Position], scenario: Scenario, number: int
) -> None:
    for one, move in zip(held, targets(scenario, held, number=number), strict=True):
        assert one.start <= move.target <= one.end
        asked = {
            "shift-by": (one.start if one.committed is None else one.committed) + number,
            "to-offset": number,
            "to-earliest": one.start,
            "to-latest": one.end,
        }[scenario]
        assert (move.mark == "CLAMPED") is (move.target != asked)


@given(positions(), NUMBERED, st.integers(-120, 120))
def test_a_plan_fits_what_it_was_made_of_and_its_undo_leads_back(
    held: list[Position], scenario: Scenario, number: int
) -> None:
    plan = planned(targets(scenario, held, number=number))
    assert drift(plan, "cluster", held) == []
    after = applied(held, plan)
    back = undo(plan, 2)
    assert drift(back, "cluster", after) == []
    for one, again in zip(held, applied(after, back), strict=True):
        assert again.committed is not None
        assert again.at == max(one.at, one.start)
        assert again.lag == one.lag
    assert plan.again - plan.skipped == -(back.again - back.skipped)


@given(positions(), st.integers(1, 5))
def test_a_group_that_moved_on_is_drift(held: list[Position], by: int) -> None:
    plan = planned(targets("to-earliest", held))
    moved = [msgspec.structs.replace(one, committed=one.at + by) for one in held]
    assert len(drift(plan, "cluster", moved)) == len(held)


@given(positions())
def test_plans_survive_their_file(held: list[Position]) -> None:
    plan = planned(targets("to-latest", held))
    assert plans.read(msgspec.json.format(msgspec.json.encode(plan), indent=2)) == plan


def test_records_removed_by_retention_under_a_target_are_drift() -> None:
    held = Position(TOPIC, 0, 10, 50, 40)
    plan = planned(targets("to-offset", [held], number=12))
    (told,) = drift(plan, "cluster", [msgspec.structs.replace(held, start=20)])
    assert told == f"{TOPIC}:0 holds 20 to 50 now; the target is 12."


def test_another_cluster_is_drift() -> None:
    held = [Position(TOPIC, 0, 0, 5, 5)]
    (told,) = drift(planned(targets("to-earliest", held)), "other", held)
    assert told == "The plan is for cluster cluster; this is other."


def test_a_partition_that_is_gone_is_drift() -> None:
    held = [Position(TOPIC, 0, 0, 5, 5)]
    assert drift(planned(targets("to-earliest", held)), "cluster", []) == [f"{TOPIC}:0 is gone."]


def test_a_time_without_a_record_skips_nothing_unsaid() -> None:
    waiting, caught_up = Position(TOPIC, 0, 0, 9, 4), Position(TOPIC, 1, 0, 9, 9)
    moves = targets("to-datetime", [waiting, caught_up], by_time={(TOPIC, 0): None, (TOPIC, 1): None})
    assert [(move.target, move.mark) for move in moves] == [(9, "NOT_FOUND"), (9, "")]


def test_a_file_moves_what_it_names() -> None:
    held = [Position(TOPIC, n, 0, 9, 9) for n in range(3)]
    given_ = plans.read_offsets(f'"group",{TOPIC},1,4\n\n{TOPIC},2,5\n')
    assert [(m.partition, m.target) for m in targets("from-file", held, given=given_)] == [(1, 4), (2, 5)]
    with pytest.raises(PlanError, match=f"does not read: {TOPIC}:7"):
        targets("from-file", held, given={(TOPIC, 7): 1})


@pytest.mark.parametrize("line", ["a,b", f"{TOPIC},x,1", f"{TOPIC},1,"])
def test_a_line_that_is_none_is_named(line: str) -> None:
    with pytest.raises(PlanError, match="Line 2 is not"):
        plans.read_offsets(f"{TOPIC},0,1\n{line}\n")


@pytest.mark.parametrize("text", [b"", b"[]", b'{"cluster":"c"}', b"\xff"])
def test_what_is_no_plan_is_refused(text: bytes) -> None:
    with pytest.raises(PlanError, match="no plan file"):
        plans.read(text)


def test_a_plan_of_another_format_or_with_a_partition_twice_is_refused() -> None:
    plan = planned(targets("to-latest", [Position(TOPIC, 0, 0, 5, 5)]))
    with pytest.raises(PlanError, match="format 2"):
        plans.read(msgspec.json.encode(msgspec.structs.replace(plan, format=2)))
    with pytest.raises(PlanError, match="twice"):
        plans.read(msgspec.json.encode(msgspec.structs.replace(plan, moves=plan.moves * 2)))


def test_a_time_needs_its_zone() -> None:
    assert plans.read_time("2026-03-01T03:00:00+01:00") == datetime(2026, 3, 1, 2, tzinfo=UTC)
    with pytest.raises(PlanError, match=r"In UTC it is 2026-03-01T03:00:00\+00:00; on this machine 2026-"):
        plans.read_time("2026-03-01T03:00:00")
    with pytest.raises(PlanError, match="is no time"):
        plans.read_time("yesterday")


@pytest.mark.parametrize(
    ("text", "hours"), [("2h", 2), ("PT2H", 2), ("1d12h", 36), ("P1DT12H", 36), ("90m", 1.5), ("PT30M", 0.5)]
)
def test_durations(text: str, hours: float) -> None:
    assert plans.read_duration(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "P", "2", "h", "-2h", "PT", "2 h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="is no duration"):
        plans.read_duration(text)
