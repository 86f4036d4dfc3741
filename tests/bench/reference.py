"""The reference work on our chunked Faust, on stock Faust and on Quix Streams, in turn and on the same events.

Each runs in a process of its own with topics and a group of its own, and first passes a few events. Then it is
stopped (SIGSTOP) while its topic is filled, and time and CPU are counted from when it goes on to the last record
that came out: nobody's start is counted, and nobody has fetched anything before. A framework that is not done
within the time limit is ended, and its rate is that of the events it passed. Afterwards what came out must be,
event by event, what plain Python gives, and the changelog of a framework that was done must hold the same end
state.
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from stream.kafka.batches import Record
from stream.kafka.client import create_topics
from stream.settings import Kafka
from stream.topics import Topic
from tests.bench.gateway import CUSTOMERS, event
from tests.bench.log import Reader, fill, place, stamped, until
from tests.bench.process import alive, child, cpu
from tests.bench.work import latest

CREATED = 1_700_000_000
# Events that are passed before the clock runs.
FIRST = 500

OURS, STOCK, QUIX = "chunked Faust", "stock Faust", "Quix Streams"
MODULES = {OURS: "tests.bench.chunked_faust", STOCK: "tests.bench.stock_faust", QUIX: "tests.bench.quix"}


class Run(msgspec.Struct, frozen=True):
    """One pass over the topic: events a second, and CPU seconds per million events."""

    rate: float
    cpu: float


class Figures(msgspec.Struct, frozen=True):
    """Medians of the rounds by framework; the ratios are of ours to theirs."""

    events: int
    rounds: dict[str, int]
    rates: dict[str, float]
    cpu_seconds_per_million: dict[str, float]

    def ratio(self, other: str) -> float | None:
        """Our rate to the other's; None when the other was not measured."""
        return self.rates[OURS] / self.rates[other] if other in self.rates else None

    def cpu_ratio(self, other: str) -> float | None:
        """The other's CPU time per event to ours; None when the other was not measured."""
        theirs = self.cpu_seconds_per_million.get(other)
        return theirs / self.cpu_seconds_per_million[OURS] if theirs else None


def _records(count: int, partitions: int) -> list[Record]:
    made = []
    for number in range(count):
        # Every seventh event comes late by a few places, so that the latest is not simply the last.
        created = CREATED + number // 10 - (3 if number % 7 == 0 else 0)
        key = f"cus_{number % CUSTOMERS:014}".encode()
        made.append(Record("", place(key, partitions), key, event(number, created)))
    return made


class Expected(msgspec.Struct):
    """What plain Python gives: the end state by customer, and what comes out of each partition, in order."""

    state: dict[bytes, bytes] = {}
    emitted: dict[int, list[bytes]] = msgspec.field(default_factory=lambda: defaultdict(list))


def _expected(records: Sequence[Record]) -> Expected:
    expected = Expected()
    for record in records:
        assert record.key is not None
        assert record.value is not None
        kept = latest(expected.state.get(record.key), record.value)
        expected.state[record.key] = kept
        expected.emitted[record.partition].append(kept)
    return expected


async def measure(
    brokers: str,
    *,
    events: int,
    rounds: Mapping[str, int],
    partitions: int = 12,
    quix: Path | None = None,
    limit_seconds: float = 20.0,
) -> Figures:
    """Measures each framework so many times, in turn. `quix` is the Python that has Quix Streams.

    Raises RuntimeError when one of them lost, doubled or changed something.
    """
    kafka = Kafka(brokers=[brokers], partitions=partitions)
    records = _records(events, partitions)
    expected = _expected(records)
    runs: dict[str, list[Run]] = defaultdict(list)
    for number in range(max(rounds.values())):
        for framework, wanted in rounds.items():
            if number < wanted and (framework != QUIX or quix):
                name = f"bench-{number}-{framework.split()[0].lower()}"
                run = await _run(framework, name, kafka, records, expected, limit_seconds, quix)
                runs[framework].append(run)
    return Figures(
        events=events,
        rounds={framework: len(seen) for framework, seen in runs.items()},
        rates={framework: statistics.median(run.rate for run in seen) for framework, seen in runs.items()},
        cpu_seconds_per_million={
            framework: statistics.median(run.cpu for run in seen) for framework, seen in runs.items()
        },
    )


async def _run(
    framework: str,
    name: str,
    kafka: Kafka,
    records: Sequence[Record],
    expected: Expected,
    limit_seconds: float,
    quix: Path | None,
) -> Run:
    (brokers,), source, output, events = kafka.brokers, f"{name}.in", f"{name}.out", len(records)
    changelog = f"changelog__{name}--{source}--default" if framework == QUIX else f"{name}-latest-changelog"
    # Quix wants to make its changelog by itself.
    await create_topics(
        kafka, (Topic(source, {}), stamped(output), *(() if framework == QUIX else (Topic(changelog, {}),)))
    )
    python = str(quix) if framework == QUIX else sys.executable
    arguments = (MODULES[framework], brokers, name, source, output, str(kafka.partitions))
    filling = [Record(source, record.partition, record.key, record.value) for record in records]
    await fill(brokers, filling[:FIRST])
    async with child(*arguments, python=python) as pid, Reader(brokers, output, kafka.partitions) as reader:
        out = 0

        async def begun() -> bool:
            return await reader.ends() >= FIRST

        async def done() -> bool:
            nonlocal out
            out = await reader.ends()
            return out >= events or time.monotonic() > limit

        await until(begun, lambda: alive([pid]), f"{framework} begins")
        os.kill(pid, signal.SIGSTOP)
        await fill(brokers, filling[FIRST:])
        before, began, limit = cpu(pid), time.time(), time.monotonic() + limit_seconds
        os.kill(pid, signal.SIGCONT)
        await until(done, lambda: alive([pid]), f"{framework} ends")
        spent = cpu(pid) - before
        emitted = await reader.whole()
    _check_emitted(framework, emitted, expected)
    if len(emitted) >= events:
        await _check_changelog(framework, brokers, changelog, kafka.partitions, expected)
    times = sorted(record.timestamp for record in emitted)[:out]
    if out <= FIRST:
        raise RuntimeError(f"{framework}: nothing came out within {limit_seconds:g} s.")
    return Run((out - FIRST) / (times[-1] / 1000 - began), spent / (out - FIRST) * 1e6)


def _check_emitted(framework: str, emitted: Sequence[Any], expected: Expected) -> None:
    """Of each partition what came out must be the beginning of what is expected: none lost, doubled, changed."""
    by_partition: dict[int, list[bytes]] = defaultdict(list)
    for record in emitted:
        by_partition[record.partition].append(record.value)
    for partition, values in by_partition.items():
        if values != expected.emitted[partition][: len(values)]:
            raise RuntimeError(
                f"{framework}: what came out of partition {partition} is not what the events say."
            )


async def _check_changelog(
    framework: str, brokers: str, changelog: str, partitions: int, expected: Expected
) -> None:
    """Keys differ between frameworks; the kept values do not. The last of them may be some time on their way."""
    wanted = sorted(expected.state.values())

    async def holds() -> bool:
        async with Reader(brokers, changelog, partitions) as reader:
            held = {record.key: record.value for record in await reader.whole()}
        return sorted(value for value in held.values() if value in known) == wanted

    known = set(wanted)
    await until(holds, lambda: None, f"the changelog of {framework} holds the end state")
