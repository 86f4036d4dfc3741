"""The org's daily calls."""

from __future__ import annotations

import pytest

from stream.salesforce.budget import Usage, linger, read_header, read_limits, spent


@pytest.mark.parametrize(
    ("header", "usage"),
    [
        ("api-usage=18/5000", Usage(18, 5000)),
        ("api-usage=10018/100000; api-bursts=1/750", Usage(10018, 100000)),
        ("api-usage=25/5000; per-app-api-usage=17/250(appName=my-app)", Usage(25, 5000, 17, 250)),
        ("per-app-api-usage=17/250(appName=x); api-usage=25/5000", Usage(25, 5000, 17, 250)),
        ("per-app-api-usage=17/250(appName=x)", None),
        ("something-else", None),
        ("", None),
        (None, None),
    ],
)
def test_the_header(header: str | None, usage: Usage | None) -> None:
    assert read_header(header) == usage


def test_the_limits() -> None:
    assert read_limits({"DailyApiRequests": {"Max": 100, "Remaining": 75}}) == Usage(25, 100)
    assert read_limits({}) is None


def test_the_budget_nearer_its_end_counts() -> None:
    assert Usage(10, 100, 9, 10).share == 0.9
    assert Usage(10, 100).share == 0.1
    assert Usage(0, 0).share == 0


@pytest.mark.parametrize(
    ("used", "seconds"), [(0, 0.2), (59, 0.2), (60, 2.0), (80, 10.0), (90, 30.0), (100, 30.0)]
)
def test_windows_wait_longer_as_the_budget_goes(used: int, seconds: float) -> None:
    assert linger(Usage(used, 100), 0.2) == seconds
    assert linger(Usage(used, 100), 60.0) == 60.0


def test_nothing_is_spent_before_salesforce_told() -> None:
    assert linger(None, 0.2) == 0.2
    assert not spent(None, 0.95)
    assert not spent(Usage(94, 100), 0.95)
    assert spent(Usage(95, 100), 0.95)
