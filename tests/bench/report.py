"""The benchmark's report. Pure."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from tests.bench import gateway, pipe, reference
from tests.bench.gateway import BARE, GATEWAY, NAIVE
from tests.bench.reference import OURS, QUIX, STOCK


class Figures(msgspec.Struct, frozen=True):
    """All that one run has seen; of the gateway for each number of connections."""

    gateway: tuple[gateway.Figures, ...]
    reference: reference.Figures
    pipe: pipe.Figures


class Target(msgspec.Struct, frozen=True):
    """A figure and what it is to be. `seen` is None when it was not measured."""

    what: str
    seen: float | None
    wanted: float
    at_most: bool = False
    unit: str = ""

    @property
    def row(self) -> str:
        """A row of the table."""
        sign = "≤" if self.at_most else "≥"
        wanted = f"{sign} {self.wanted:g}{self.unit}"
        if self.seen is None:
            return f"| {self.what} | not measured | {wanted} | |"
        met = self.seen <= self.wanted if self.at_most else self.seen >= self.wanted
        return f"| {self.what} | {self.seen:.2f}{self.unit} | {wanted} | {'yes' if met else '**no**'} |"


def targets(figures: Figures) -> tuple[Target, ...]:
    """The figures that hold on other machines, and what they are to be."""
    return (
        *(
            Target(
                f"gateway with its durable ack, to a bare aiohttp handler (requests/s), {hooks.connections} "
                "connections",
                hooks.ours.ratio,
                0.5,
            )
            for hooks in figures.gateway
        ),
        Target(
            "reference work on chunked Faust, to stock Faust (events/s)", figures.reference.ratio(STOCK), 10
        ),
        Target("the same, to Quix Streams (events/s)", figures.reference.ratio(QUIX), 0.8),
        Target(
            f"Salesforce calls per 1,000 events, with {figures.pipe.waiting:,} waiting",
            figures.pipe.calls_per_thousand,
            10,
            at_most=True,
        ),
        Target(
            "webhook accepted → confirmed in Salesforce, quiet, p99",
            figures.pipe.quiet_p99_ms / 1000,
            2,
            at_most=True,
            unit=" s",
        ),
    )


def report(figures: Figures) -> str:
    """The whole page."""
    return "\n".join(
        (_HEAD, *(target.row for target in targets(figures)), *_others(figures), *_record(figures))
    )


_HEAD = """# Benchmark

`make bench` measures everything side by side in one run, and writes this page. What is compared shares the machine,
the Kafka, the client and the events, and is measured in turn; a ratio is that of medians, for the gateway the
median of the rounds' ratios. After each part every event is accounted for: what came out is compared with what
plain Python gives, and Salesforce's records with the events. How each part works is told in `tests/bench/`. How
soon a projector is ready again with a million customers, and how it drains a backlog, is in
[recovery](recovery.md).

## What holds on other machines

| what | seen | wanted | met |
|---|---|---|---|"""


def _others(figures: Figures) -> tuple[str, ...]:
    work = figures.reference
    cpu = [
        f"- CPU per event of the reference work: {other} takes {ratio:.2f} times as much as chunked Faust."
        for other in (STOCK, QUIX)
        if (ratio := work.cpu_ratio(other)) is not None
    ]
    return (
        "",
        *(
            f"- With {hooks.connections} connections the gateway's ratio was {hooks.ours.lowest:.2f} to "
            f"{hooks.ours.highest:.2f} in single rounds; its process "
            f"takes {hooks.cpu_ratio:.2f} times the bare handler's CPU."
            for hooks in figures.gateway
        ),
        *(
            f"- With {hooks.connections} connections a naive handler, which sends each body to Kafka by itself, "
            f"unverified and unordered, has a ratio of {hooks.servers[NAIVE].ratio:.2f}."
            for hooks in figures.gateway
        ),
        "- Each connection has one request at a time, so their number is how many events can share a batch. The "
        "gateway, Kafka and the client want more than the two cores there are; the bare handler wants one.",
        *cpu,
        "- Each framework is warm when the reference work's clock begins, and has fetched nothing of what is "
        "counted: it is stopped while its topic is filled. Stock Faust, which is ended after a limit, is charged "
        "with what it fetched and did not get to: its CPU ratio is an upper bound.",
    )


def _record(figures: Figures) -> tuple[str, ...]:
    work, pipe = figures.reference, figures.pipe
    return (
        "",
        "## One run's record",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({platform.machine()}), Python "
        f"{platform.python_version()}; Kafka and the clients on the same cores. Load average at the end: "
        f"{os.getloadavg()[1]:.1f} over five minutes; above some 4 other work was in the way.",
        "",
        "| what | rate | CPU-seconds per million | |",
        "|---|---|---|---|",
        *(row for hooks in figures.gateway for row in _gateway(hooks)),
        *(
            f"| reference work, {framework} | {work.rates[framework]:,.0f} events/s | "
            f"{work.cpu_seconds_per_million[framework]:,.0f} | {work.rounds[framework]} round(s) over "
            f"{work.events:,} events |"
            for framework in (OURS, STOCK, QUIX)
            if framework in work.rates
        ),
        f"| projector with its workflows | {pipe.projector_rate:,.0f} events/s | {pipe.projector_cpu:,.0f} | "
        f"{pipe.events:,} events, a third about customers |",
        f"| writer | {pipe.writer_rate:,.0f} events/s | {pipe.writer_cpu:,.0f} | {pipe.rows:,} rows in "
        f"{pipe.calls} calls; new customers, so with matching |",
        "",
        f"Quiet, {pipe.quiet_events} webhooks one after the other: confirmed after {pipe.quiet_p50_ms:.0f} ms "
        f"(p50), {pipe.quiet_p99_ms:.0f} ms (p99). The local Salesforce answers at once, the real one after some "
        "100 ms a call.",
        "",
    )


def _gateway(hooks: gateway.Figures) -> Iterator[str]:
    for name, what in ((BARE, "bare aiohttp handler"), (NAIVE, "naive handler"), (GATEWAY, "gateway")):
        seen = hooks.servers[name]
        yield (
            f"| {what} | {seen.rate:,.0f} requests/s | {seen.cpu:,.0f} | {hooks.connections} connections; answers "
            f"in {seen.p50_ms:.0f} ms (p50), {seen.p99_ms:.0f} ms (p99) |"
        )
