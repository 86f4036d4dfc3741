"""Lanes that close and open."""

from __future__ import annotations

from stream.salesforce.lanes import ALL, AWAY, CONFIGURATION, QUOTA, TRIAL_ROWS, UNLIMITED, Lanes, Pace


def lanes() -> Lanes:
    return Lanes(Pace(), chance=lambda: 1.0)


def test_a_wait_doubles_up_to_its_longest_and_has_jitter() -> None:
    pace = Pace(away=(1.0, 10.0))
    assert [pace.wait(AWAY, n, lambda: 1.0) for n in (1, 2, 3, 4, 5, 100)] == [1, 2, 4, 8, 10, 10]
    assert pace.wait(AWAY, 3, lambda: 0.0) == 2


def test_an_open_lane_takes_everything() -> None:
    assert lanes().allowance("Account", 0) == UNLIMITED


def test_a_closed_lane_takes_nothing_until_its_trial_and_others_flow() -> None:
    these = lanes()
    assert these.close("Account", CONFIGURATION, 100)
    assert these.allowance("Account", 129) == 0
    assert these.allowance("Contact", 129) == UNLIMITED
    assert these.next_trial(100) == 130
    assert these.allowance("Account", 130) == TRIAL_ROWS
    assert these.due("Account", 129) is None
    assert these.due("Account", 130) is not None


def test_the_gate_closes_every_lane() -> None:
    these = lanes()
    these.close(ALL, QUOTA, 0)
    assert these.allowance("Account", 1) == 0
    assert these.allowance("Account", 5) == TRIAL_ROWS


def test_after_a_blip_everything_goes_at_once_and_after_more_a_few_rows_first() -> None:
    these = lanes()
    these.close(ALL, AWAY, 0)
    assert these.allowance("Account", 0.5) == UNLIMITED
    these.close(ALL, AWAY, 0.5)
    assert these.next_trial(0.5) == 1.5
    assert these.allowance("Account", 1.5) == TRIAL_ROWS


def test_failures_of_calls_that_were_under_way_count_once() -> None:
    these = lanes()
    assert these.close(ALL, AWAY, 0)
    assert not these.close(ALL, AWAY, 0.1)
    assert these.next_trial(0.1) == 0.5


def test_another_reason_starts_anew_and_is_news() -> None:
    these = lanes()
    these.close(ALL, AWAY, 0)
    assert these.close(ALL, QUOTA, 0.1)
    assert these.closed() == {ALL: QUOTA}


def test_the_same_reason_again_is_no_news_but_another_text_is() -> None:
    these = lanes()
    assert these.close("Account", CONFIGURATION, 0, "Phone is missing")
    assert not these.close("Account", CONFIGURATION, 30, "Phone is missing")
    assert these.close("Account", CONFIGURATION, 90, "Name is missing")


def test_opening_forgets() -> None:
    these = lanes()
    these.close("Account", CONFIGURATION, 0)
    lane = these.open("Account")
    assert lane is not None
    assert lane.reason == CONFIGURATION
    assert these.open("Account") is None
    assert these.next_trial(0) is None
