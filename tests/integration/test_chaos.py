"""A short run of the chaos test, and what it and its report are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.chaos import checker, faults
from tests.chaos.__main__ import play
from tests.chaos.checker import Found
from tests.chaos.faults import DECK, SHORT, Fault, Step
from tests.chaos.nemesis import Done
from tests.chaos.report import Run, report

SEED = 1
SECONDS = 50.0
EVENTS_PER_SECOND = 6.0


async def test_what_is_accepted_reaches_salesforce_once_whatever_breaks() -> None:
    run = await play(SEED, SECONDS, EVENTS_PER_SECOND, faults.all_of(SEED), in_turn=True)
    text = report(run)
    assert run.found.sound, text
    assert {done.step.fault for done in run.done} == set(SHORT)
    assert run.found.accepted > 100
    assert run.found.records > 50
    assert run.found.told["Slack"] > 0


def test_a_seed_repeats_the_schedule_and_another_makes_another() -> None:
    assert faults.schedule(1, 600) == faults.schedule(1, 600) != faults.schedule(2, 600)


def test_half_an_hour_has_every_fault_and_twenty_rebalances() -> None:
    steps = faults.schedule(1, 1800)
    assert {step.fault for step in steps} == set(DECK)
    assert 2 * sum(step.fault.kind == "join" for step in steps) >= 20


@pytest.mark.parametrize("seed", range(5))
def test_no_two_faults_undo_each_other_and_the_end_is_quiet(seed: int) -> None:
    steps = faults.schedule(seed, 900)
    for number, step in enumerate(steps):
        assert step.at + step.seconds <= 900 - faults.QUIET_SECONDS + 0.1
        for other in steps[number + 1 :]:
            if other.fault.touches == step.fault.touches:
                assert other.at >= step.at + step.seconds


def test_the_checker_sees_what_is_missing_doubled_and_different() -> None:
    records = {"a": {"Name": "A"}, "b": {"Name": "B"}, "c": {"Name": "C"}, "d": {"Name": "D"}}
    held = [
        ("a", {"Id": "1", "Name": "A"}),
        ("b", {"Id": "2", "Name": "older"}),
        ("c", {"Id": "3", "Name": "C"}),
        ("c", {"Id": "4", "Name": "C"}),
        ("x", {"Id": "5", "Name": "X"}),
    ]
    missing, doubled, differing = checker.compare(records, held, {})
    assert missing == ["d: missing"]
    assert doubled == ["c: 2 times", "x: not expected"]
    assert differing == ["b: Name 'older' instead of 'B'"]


FOUND = Found(
    accepted=1234,
    undelivered=0,
    records=99,
    lost=(),
    duplicated=(),
    stale=(),
    told_twice=(),
    notices=7,
    told={"Slack": 7, "Chatter": 6},
    dead_letters={},
    p50=0.5,
    p99=2.5,
)


def run_of(**found: Any) -> Run:
    done = [Done(Step(0, 2, Fault("kill", "writer")), 10.0, 12.0)] * 2
    return Run(1, 0.5, done, [3, 4], 1300, {200: 1234, 503: 66}, 2, Found(**{**_fields(), **found}))


def _fields() -> dict[str, object]:
    return {name: getattr(FOUND, name) for name in Found.__struct_fields__}


def test_the_report_adds_up_and_names_no_path() -> None:
    text = report(run_of())
    assert "| 2 | 1,234 | 0 | 0 | 0 | 0 |" in text
    assert "| kill -9 of writer | 2 | 4 | 7 |" in text
    assert str(Path.home()) not in text
    assert str(Path(__file__).parents[2]) not in text


@pytest.mark.parametrize("wrong", ["lost", "duplicated", "stale", "told_twice"])
def test_a_broken_promise_is_told(wrong: str) -> None:
    run = run_of(**{wrong: tuple(f"this one {n}" for n in range(12))})
    assert not run.found.sound
    text = report(run)
    assert "- this one 0\n" in text
    assert "- and 2 more" in text
