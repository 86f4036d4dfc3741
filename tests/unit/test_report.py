"""The demo's verdict: what counts as agreement, and what a person sees of it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from stream.sandbox import report


def row(expected: float = 2, actual: float = 2, wrong: int = 0, **more: Any) -> dict[str, Any]:
    return {"expected": expected, "actual": actual, "wrong": wrong, "examples": [], **more}


def found(**changes: Any) -> report.Report:
    told = {
        "events": 9,
        "events_sent": 10,
        "events_accepted": 9,
        "events_applied": 8,
        "events_ignored": 1,
        "undelivered": 0,
        "lost": 0,
        "dead_letters": 3,
        "dead_letter_causes": {"ambiguous_match": 3},
        "set_aside": row(1, 1),
        "salesforce": {"Account": row()},
        "money": {"invoices": row(), "lifetime value EUR": row(1234.5, 1234.5)},
        "told": {"mail": row(cut_off=0)},
        "api_calls": 5,
        "end_to_end_seconds": {"p50": 0.1, "p99": 0.2},
    }
    return {**told, **changes}


def test_it_agrees_when_everything_is_as_expected() -> None:
    assert report.agrees(found())
    assert report.agrees(found(told={"mail": row(3, 2, cut_off=1)}))


@pytest.mark.parametrize(
    "changes",
    [
        {"lost": 1},
        {"undelivered": 1},
        {"set_aside": row(1, 0, 1)},
        {"salesforce": {"Account": row(2, 1)}},
        {"salesforce": {"Account": row(wrong=1)}},
        {"money": {"lifetime value EUR": row(1234.5, 1234.51)}},
        {"told": {"mail": row(3, 2)}},
        {"told": {"mail": row(wrong=1)}},
    ],
)
def test_anything_else_is_no_agreement(changes: dict[str, Any]) -> None:
    assert not report.agrees(found(**changes))


def test_a_person_sees_the_sums_and_what_is_wrong() -> None:
    said = io.StringIO()
    wrong = row(2, 1, 1) | {"examples": ["cus_1: missing"]}
    report.show(Console(file=said, width=120), found(salesforce={"Account": wrong}))
    text = said.getvalue()
    assert "Account cus_1: missing" in text
    assert "1,234.5" in text
    assert "3 dead letters (ambiguous_match 3)" in text
    assert "MATCHING_SEVERAL" in text
