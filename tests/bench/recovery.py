"""How soon a projector is ready again, and how it drains what waits: `python -m tests.bench.recovery`.

Ready again: so many customers stand in the changelogs, each with rows as the projector itself has folded them, and
the real process is started on them; in memory, with RocksDB on an empty disk, and with RocksDB's files of the time
before.
Drained: events wait for a projector that is ready; its rate and its memory are taken over both halves.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import click
import msgspec
import uvloop

from agents.events import State
from agents.projector import fold_chunk, settle
from stream import topics
from stream.kafka.batches import Record
from stream.kafka.broker import Broker
from stream.kafka.client import create_topics
from stream.settings import Kafka
from stream.stages import PROJECTOR, local_org
from stream.topics import STRIPE_EVENTS
from tables import customer_mapping, subscriptions
from tests.bench.log import fill, place
from tests.bench.pipe import PARTITIONS, Bench, backlog
from tests.bench.process import alive, child, cpu
from tests.bench.recovery_report import Drain, Figures, Start, report

PAGE = Path(__file__).parents[2] / "docs" / "recovery.md"
READY_SECONDS = 1800.0
LOOK_SECONDS = 0.05
MB = 1024 * 1024


def rows(customers: int) -> tuple[Iterator[Record], int]:
    """The changelogs' records of so many customers, and the bytes of one customer's rows. All are those of one,
    with the IDs of another: folded from its events as the projector does."""
    waiting, _ = backlog(6)
    events = [_as_read(record, offset) for offset, record in enumerate(waiting)]
    folded = fold_chunk(
        events, lambda _: State(customer_mapping.CustomerMapping(), subscriptions.Subscriptions())
    )
    settle(folded, STRIPE_EVENTS, 0)
    (key, state), *_ = folded.states.items()
    templates = {
        topics.changelog(customer_mapping.NAME): customer_mapping.encode(state.mapping),
        topics.changelog(subscriptions.NAME): subscriptions.encode(state.subscriptions),
    }
    digits = key.removeprefix(b"cus_")

    def made() -> Iterator[Record]:
        for number in range(customers):
            other = b"%014d" % number
            partition = place(b"cus_" + other, PARTITIONS)
            for topic, value in templates.items():
                yield Record(topic, partition, b"cus_" + other, value.replace(digits, other))

    return made(), sum(map(len, templates.values()))


class _Read(msgspec.Struct):
    """A record as a consumer gives it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int = 0


def _as_read(record: Record, offset: int) -> _Read:
    return _Read(record.topic, record.partition, offset, record.key, record.value, record.headers)


def memory(pid: int, field: str = "VmRSS") -> int:
    """MB of a process: `VmRSS` now, `VmHWM` at most so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == field:
            return int(rest.split()[0]) // 1024
    raise RuntimeError(f"The process {pid} tells no {field}.")


async def _until_ready(bench: Bench, pid: int) -> float:
    """Seconds from now on."""
    began = time.perf_counter()
    async with asyncio.timeout(READY_SECONDS):
        while not await bench.answers(f"http://{bench.at['projector']}/readyz"):
            alive([pid])
            await asyncio.sleep(LOOK_SECONDS)
    return time.perf_counter() - began


async def start(bench: Bench, what: str, **environment: str) -> Start:
    """Starts a projector, waits until it is ready, and ends it."""
    async with child(PROJECTOR, **bench.environment, **environment) as pid:
        seconds = await _until_ready(bench, pid)
        return Start(what, seconds, cpu(pid), memory(pid), memory(pid, "VmHWM"))


async def drain(bench: Bench, events: int) -> Drain:
    """Lets a projector that is ready work on what waits, which comes while it is stopped."""
    waiting, _ = backlog(events)
    async with child(PROJECTOR, **bench.environment) as pid:
        await _until_ready(bench, pid)
        os.kill(pid, signal.SIGSTOP)
        await fill(bench.brokers, waiting)
        before = memory(pid)
        os.kill(pid, signal.SIGCONT)
        began, half = time.perf_counter(), 0.0
        peak_at_half = before
        async with asyncio.timeout(READY_SECONDS):
            while (done := await bench.processed()) < events:
                alive([pid])
                if not half and done >= events / 2:
                    half, first = time.perf_counter(), done
                    peak_at_half = memory(pid, "VmHWM")
                await asyncio.sleep(LOOK_SECONDS)
        ended = time.perf_counter()
        return Drain(
            events=events,
            first_half=first / (half - began),
            second_half=(events - first) / (ended - half),
            before=before,
            peak_at_half=peak_at_half,
            peak=memory(pid, "VmHWM"),
        )


@asynccontextmanager
async def _kafka(folder: Path):  # type: ignore[no-untyped-def]
    broker = Broker(folder)
    broker.launch()
    await asyncio.to_thread(broker.await_answer)
    try:
        await create_topics(Kafka(brokers=[broker.address], partitions=PARTITIONS))
        yield broker.address
    finally:
        broker.stop()


async def measure(customers: int, events: int) -> Figures:
    """Measures everything, each part on a Kafka of its own. Raises TimeoutError, RuntimeError."""
    with tempfile.TemporaryDirectory(prefix="revstream-recovery-") as name:
        folder = Path(name)
        org = local_org(folder / "salesforce")  # its settings; nobody calls it
        starts = []
        async with _kafka(folder / "first") as brokers, aiohttp.ClientSession() as client:
            records, size = rows(customers)
            click.echo(f"Filling the changelogs with {customers:,} customers …", err=True)
            await fill(brokers, records)
            bench = Bench(brokers, folder / "state", org, client)
            for what, store in (
                ("memory", "memory"),
                ("RocksDB, empty disk", "rocksdb"),
                ("RocksDB, its files are there", "rocksdb"),
            ):
                starts.append(await start(bench, what, PROJECTOR_TABLE_STORE=store))
                click.echo(f"{starts[-1]}", err=True)
        async with _kafka(folder / "second") as brokers, aiohttp.ClientSession() as client:
            drained = await drain(Bench(brokers, folder / "other", org, client), events)
        return Figures(customers, size, tuple(starts), drained)


@click.command()
@click.option("--customers", default=1_000_000, show_default=True)
@click.option("--events", default=100_000, show_default=True)
@click.option("--page", type=click.Path(path_type=Path), default=PAGE, help="Where the report goes.")
def main(customers: int, events: int, page: Path) -> None:
    """Measures, prints the report and writes it to docs/recovery.md."""
    text = report(uvloop.run(measure(customers, events)))
    click.echo(text)
    page.write_text(text)


if __name__ == "__main__":
    main()
