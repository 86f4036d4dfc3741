"""Every part of the benchmark, side by side in one run: `python -m tests.bench`, or `make bench`.

Ratios and counts come first in the report, since they hold on other machines; rates are one run's record.
`--quick` does a little of everything, to see that it works; its figures mean nothing, so no file is written.
`--only stages` measures one part and prints its figures: for one's own before and after, in turn.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

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


# The more events wait at once, the more share a batch and an ack.
CONNECTIONS = (64, 256)


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
    return Figures(await _gateway(size), await _reference(size, quix), await _stages(size))


async def _gateway(size: Size) -> tuple[gateway.Figures, ...]:
    click.echo("The gateway beside a bare handler …", err=True)
    async with _kafka() as (brokers, _):
        await create_topics(Kafka(brokers=[brokers]))
        return tuple(
            [
                await gateway.measure(
                    brokers, connections=each, seconds=size.gateway_seconds, rounds=size.gateway_rounds
                )
                for each in CONNECTIONS
            ]
        )


async def _reference(size: Size, quix: Path | None) -> reference.Figures:
    click.echo("The reference work on three frameworks …", err=True)
    async with _kafka() as (brokers, _):
        return await reference.measure(
            brokers,
            events=size.reference_events,
            rounds=size.reference_rounds,
            quix=quix,
            limit_seconds=size.reference_limit_seconds,
        )


async def _stages(size: Size) -> pipe.Figures:
    click.echo("The real stages …", err=True)
    async with _kafka() as (brokers, folder):
        return await pipe.measure(brokers, folder, events=size.pipe_events, quiet=size.quiet_events)


@asynccontextmanager
async def _kafka() -> AsyncIterator[tuple[str, Path]]:
    """A Kafka and a folder for each part, so that what one leaves behind is not in the next one's way."""
    with tempfile.TemporaryDirectory() as name:
        broker = Broker(Path(name) / "kafka")
        broker.launch()
        try:
            await asyncio.to_thread(broker.await_answer)
            yield broker.address, Path(name)
        finally:
            broker.stop()


@click.command()
@click.option("--quick", is_flag=True, help="A little of everything, without the report.")
@click.option("--only", type=click.Choice(["gateway", "reference", "stages"]), help="One part's figures.")
def main(quick: bool, only: str | None) -> None:
    """Measures, prints the report and writes it to docs/benchmark.md."""
    size = QUICK if quick else FULL
    quix = QUIX_PYTHON if QUIX_PYTHON.exists() else None
    if only is not None:
        parts: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "gateway": lambda: _gateway(size),
            "reference": lambda: _reference(size, quix),
            "stages": lambda: _stages(size),
        }
        figures = uvloop.run(parts[only]())
        click.echo(msgspec.json.format(msgspec.json.encode(figures)))
        return
    if quix is None and not quick:
        raise click.ClickException("Quix Streams is not installed; `make bench` installs it and runs this.")
    text = report(uvloop.run(measure(size, quix)))
    click.echo(text)
    if not quick:
        REPORT.write_text(text)


if __name__ == "__main__":
    main()
