"""Every part of the benchmark, side by side in one run: `python -m tests.bench`, or `make bench`.

Ratios and counts come first in the report, since they hold on other machines; rates are one run's record.
`--quick` does a little of everything, to see that it works; its figures mean nothing, so no file is written.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import click
import msgspec
import uvloop

from stream.kafka.broker import Broker
from stream.kafka.client import create_topics
from stream.settings import Kafka
from tests.bench import gateway, pipe, reference
from tests.bench.report import Figures, report

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "docs" / "benchmark.md"
QUIX_PYTHON = ROOT / ".venv" / "quix" / "bin" / "python"


class Size(msgspec.Struct, frozen=True):
    """How much is measured. Stock Faust is slow, so it gets the fewest rounds and is stopped after a limit."""

    gateway_seconds: float
    gateway_rounds: int
    reference_events: int
    reference_rounds: dict[str, int]
    reference_limit_seconds: float
    pipe_events: int
    quiet_events: int


FULL = Size(4.0, 5, 60_000, {reference.OURS: 3, reference.QUIX: 3, reference.STOCK: 1}, 20.0, 10_000, 100)
QUICK = Size(1.0, 1, 10_000, {reference.OURS: 1, reference.QUIX: 1, reference.STOCK: 1}, 3.0, 6_000, 5)


async def measure(size: Size, quix: Path | None) -> Figures:
    """Runs everything. Raises RuntimeError when a part lost, doubled or changed an event."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = await _broker(folder / "first")
        try:
            await create_topics(Kafka(brokers=[broker.address]))
            click.echo("The gateway beside a bare handler …", err=True)
            hooks = await gateway.measure(
                broker.address, seconds=size.gateway_seconds, rounds=size.gateway_rounds
            )
            click.echo("The reference work on three frameworks …", err=True)
            work = await reference.measure(
                broker.address,
                events=size.reference_events,
                rounds=size.reference_rounds,
                quix=quix,
                limit_seconds=size.reference_limit_seconds,
            )
        finally:
            broker.stop()
        broker = await _broker(folder / "second")
        try:
            click.echo("The real stages …", err=True)
            stages = await pipe.measure(
                broker.address, folder, events=size.pipe_events, quiet=size.quiet_events
            )
        finally:
            broker.stop()
    return Figures(hooks, work, stages)


async def _broker(folder: Path) -> Broker:
    """A Kafka of its own, so that what one part leaves behind is not in the next one's way."""
    broker = Broker(folder)
    broker.launch()
    await asyncio.to_thread(broker.await_answer)
    return broker


@click.command()
@click.option("--quick", is_flag=True, help="A little of everything, without the report.")
def main(quick: bool) -> None:
    """Measures, prints the report and writes it to docs/benchmark.md."""
    quix = QUIX_PYTHON if QUIX_PYTHON.exists() else None
    if quix is None and not quick:
        raise click.ClickException("Quix Streams is not installed; `make bench` installs it and runs this.")
    text = report(uvloop.run(measure(QUICK if quick else FULL, quix)))
    click.echo(text)
    if not quick:
        REPORT.write_text(text)


if __name__ == "__main__":
    main()
