"""What a replay is said to cost: never less than one window takes, never more than all of them."""

from __future__ import annotations

from stream.salesforce.budget import Usage
from stream.salesforce.estimate import Estimate, Load, estimate


def cost(load: Load, usage: Usage | None = None) -> Estimate:
    return estimate(load, bulk_from=2000, concurrency=5, share=0.8, usage=usage)


def test_one_window_is_one_answer() -> None:
    told = cost(Load({"Account": 5, "Task": 401}))
    assert (told.rows, told.calls) == ((406, 406), (4, 4))
    assert told.left is None
    assert told.told == "406 rows, 4 API calls, 0.0 to 0.1 minutes"


def test_many_windows_and_lookups_are_the_most() -> None:
    told = cost(Load({"Account": 60, "Task": 280}, frozenset({"Task"}), windows=12))
    assert told.calls == (1 + 2, (1 + 11) + (2 + 11) + (1 + 11))


def test_no_more_calls_than_rows() -> None:
    assert cost(Load({"Case": 2}, windows=12)).calls == (1, 2)


def test_a_record_may_be_written_again() -> None:
    assert cost(Load({"Account": 100}, windows=3, again=2.5)).rows == (100, 250)


def test_a_backlog_goes_in_jobs_or_in_calls() -> None:
    told = cost(Load({"Account": 25_000}))
    assert told.calls == (3 * 7, 125)
    assert told.minutes[0] == 6.0


def test_what_is_left_is_our_share() -> None:
    assert cost(Load({}), Usage(used=300, limit=1000)).left == 500
    assert cost(Load({}), Usage(used=900, limit=1000)).left == 0
