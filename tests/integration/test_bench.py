"""The benchmark's parts run, and account for every event. Nothing is timed, and Quix Streams is not needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.stripe.envelope import read
from tests.bench import gateway, pipe, reference
from tests.bench.report import Figures, report, targets
from tests.bench.work import latest


def hooks(connections: int, rate: float, ratio: float) -> gateway.Figures:
    rates = {gateway.BARE: (7000, 1.0), gateway.NAIVE: (3000, 0.4), gateway.GATEWAY: (rate, ratio)}
    seen = {name: gateway.Seen(per, to, to, to, 10, 20, 130) for name, (per, to) in rates.items()}
    return gateway.Figures(connections, seen)


HOOKS = (hooks(64, 3600, 0.51), hooks(256, 5600, 0.8))
WORK = reference.Figures(
    100,
    {reference.OURS: 1, reference.STOCK: 1},
    {reference.OURS: 20000, reference.STOCK: 1000},
    {reference.OURS: 40, reference.STOCK: 900},
)
PIPE = pipe.Figures(10_000, 9000, 100, 10_000, 3332, 24, 2.4, 2000, 50, 100, 400, 2500)


async def test_the_reference_work_on_chunked_faust_loses_and_changes_nothing(kafka: str) -> None:
    figures = await reference.measure(kafka, events=10_000, rounds={reference.OURS: 1, reference.QUIX: 1})
    assert figures.rounds == {reference.OURS: 1}  # Quix Streams is left out where it is not installed
    assert figures.ratio(reference.QUIX) is None


def test_the_latest_of_a_customer_is_the_newest_second_and_in_it_the_last_read() -> None:
    old, new, again = gateway.event(1, 100), gateway.event(2, 101), gateway.event(3, 101)
    kept = latest(latest(None, new), old)
    assert kept == latest(None, new)
    assert latest(kept, again) == latest(None, again)


def test_what_came_out_changed_or_doubled_is_found() -> None:
    records = reference._records(20, 1)
    expected = reference._expected(records)

    class Out:
        partition = 0

        def __init__(self, value: bytes) -> None:
            self.value = value

    emitted = [Out(value) for value in expected.emitted[0]]
    reference._check_emitted("it", emitted[:7], expected)
    for wrong in ([emitted[1], *emitted[1:]], [*emitted[:3], *emitted[4:]], [*emitted, emitted[-1]]):
        with pytest.raises(RuntimeError, match="partition 0"):
            reference._check_emitted("it", wrong, expected)


def test_the_backlog_is_of_events_that_the_gateway_takes() -> None:
    records, names = pipe.backlog(60)
    assert len(names) == 10
    for record in records:
        assert record.value is not None
        assert read(record.value).id


def test_a_missed_figure_is_told() -> None:
    rows = [target.row for target in targets(Figures(HOOKS, WORK, PIPE))]
    assert [row.rsplit("|", 2)[1].strip() for row in rows] == ["yes", "yes", "yes", "", "yes", "**no**"]
    assert "not measured" in rows[3]


def test_the_report_names_no_path(tmp_path: Path) -> None:
    text = report(Figures(HOOKS, WORK, PIPE))
    assert str(Path.home()) not in text
    assert str(Path(__file__).parents[2]) not in text
