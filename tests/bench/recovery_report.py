"""The report on recovery. Pure."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime

import msgspec

WANTED_SECONDS = 60


class Start(msgspec.Struct, frozen=True):
    """One start: seconds until ready, CPU seconds of the process, MB resident when ready and at most."""

    what: str
    seconds: float
    cpu: float
    resident: int
    peak: int


class Drain(msgspec.Struct, frozen=True):
    """Events a second over both halves; MB resident before, and at most by the middle and the end."""

    events: int
    first_half: float
    second_half: float
    before: int
    peak_at_half: int
    peak: int


class Figures(msgspec.Struct, frozen=True):
    """All that one run has seen. `row_bytes` are of one customer's rows in both tables."""

    customers: int
    row_bytes: int
    starts: tuple[Start, ...]
    drain: Drain


def report(figures: Figures) -> str:
    """The whole page."""
    drain = figures.drain
    return "\n".join(
        (
            _HEAD,
            f"## Ready again, with {figures.customers:,} customers",
            "",
            f"From the start of the process to 200 on `/readyz`; {WANTED_SECONDS} s are wanted. Each customer has "
            f"a row in both tables, {figures.row_bytes:,} bytes together.",
            "",
            "| tables | ready after | met | CPU | memory when ready | at most |",
            "|---|---|---|---|---|---|",
            *(_start(start) for start in figures.starts),
            "",
            f"## {drain.events:,} events that wait",
            "",
            "| | first half | second half |",
            "|---|---|---|",
            f"| rate | {drain.first_half:,.0f} events/s | {drain.second_half:,.0f} events/s |",
            f"| memory at most | {drain.peak_at_half} MB | {drain.peak} MB |",
            "",
            f"Before, the projector held {drain.before} MB. The tables are in memory; a sixth as many customers as "
            "events are in them at the end. A customer's six events stand as far apart as there are customers: of "
            "100,000 hardly two share a chunk, so that nearly each event is written by itself, while in the "
            "[benchmark](benchmark.md), with 10,000, all six share one.",
            "",
            f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({platform.machine()}), Python "
            f"{platform.python_version()}; Kafka on the same cores. Load average at the end: "
            f"{os.getloadavg()[1]:.1f} over five minutes; above some 4 other work was in the way, and "
            "CPU tells more than the clock.",
            "",
        )
    )


_HEAD = """# Recovery

`make recovery` measures how soon a projector is ready again after a restart and how it drains a backlog, and writes
this page. How it is done is told in `tests/bench/recovery.py`.
"""


def _start(start: Start) -> str:
    met = "yes" if start.seconds <= WANTED_SECONDS else "**no**"
    took = f"{start.seconds:.1f} s | {met} | {start.cpu:.1f} s"
    return f"| {start.what} | {took} | {start.resident} MB | {start.peak} MB |"
