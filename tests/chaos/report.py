"""The chaos report. Pure."""

from __future__ import annotations

import os
import platform
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from tests.chaos.checker import Found
from tests.chaos.nemesis import Done

EXAMPLES = 10


class Run(msgspec.Struct, frozen=True):
    """What was played, and what it left. `taken` is how many webhooks were taken during each of `done`."""

    seed: int
    minutes: float
    done: Sequence[Done]
    taken: Sequence[int]
    sent: int
    answers: dict[int, int]
    unreachable: int
    found: Found

    @property
    def rebalances(self) -> int:
        """Of a group of workers: each that joins and leaves makes two."""
        return 2 * sum(done.step.fault.kind == "join" for done in self.done)


def report(run: Run) -> str:
    """The whole page."""
    return "\n".join((_HEAD, *_totals(run), *_wrong(run.found), *_faults(run), *_record(run), ""))


_HEAD = """# Chaos

`make chaos MINUTES=30` breaks a running Revstream and writes this page: Kafka, gateway, projector, writer,
notifier and the local Salesforce as real processes, a simulated Stripe that sends signed webhooks all the while
(some twice, none in order, again until they are taken), faults by a schedule that `SEED=…` repeats. Every stage
reaches Kafka through a TCP proxy of its own, Salesforce and Slack through another each: that is where lines are
slow (0.3 s later), thin (32 KB/s), resetting (after 3,000 bytes), silent (a black hole), half-closed or cut. At the
end, when all groups have worked on all there is, each accepted event and each record in Salesforce is compared with
Stripe's truth, worked out by code that shares nothing with the projector (`stream/sandbox/expected`), and each
notice is counted where it arrived.

- **lost**: an accepted event that is not on Kafka or of which nothing became, or a record that Salesforce lacks
- **duplicated**: a record that Salesforce has twice, or that should not be there
- **stale**: a record that does not say what Stripe's truth says
- **told twice**: a notice that arrived more than once on a channel, Slack or Chatter

The disk of the projector's tables (RocksDB) is filled by the kernel's limit on file sizes, set from outside on the
running process (RLIMIT_FSIZE by `prlimit`): every write to a file fails, as on a full disk. A small tmpfs would
need a mount, so root, which a build machine seldom gives.

## What came of it
"""


def _totals(run: Run) -> tuple[str, ...]:
    found = run.found
    return (
        "| faults | events accepted | lost | duplicated | stale | told twice |",
        "|---|---|---|---|---|---|",
        f"| {len(run.done)} | {found.accepted:,} | {len(found.lost)} | {len(found.duplicated)} | "
        f"{len(found.stale)} | {len(found.told_twice)} |",
        "",
        f"{found.records:,} records compared; {sum(found.dead_letters.values())} dead letters, "
        f"{found.undelivered} events that were never taken; {run.rebalances} rebalances by workers that join and "
        "leave, and those that killed and frozen ones make.",
    )


def _wrong(found: Found) -> tuple[str, ...]:
    lines: list[str] = []
    for name, wrong in (
        ("Lost", found.lost),
        ("Duplicated", found.duplicated),
        ("Stale", found.stale),
        ("Told twice", found.told_twice),
        ("Dead letters", tuple(f"{code}: {n}" for code, n in found.dead_letters.items())),
    ):
        if wrong:
            lines += ["", f"### {name}", "", *(f"- {line}" for line in wrong[:EXAMPLES])]
            lines += [f"- and {len(wrong) - EXAMPLES} more"] if len(wrong) > EXAMPLES else []
    return tuple(lines)


def _faults(run: Run) -> tuple[str, ...]:
    times: dict[str, int] = defaultdict(int)
    seconds: dict[str, float] = defaultdict(float)
    events: dict[str, int] = defaultdict(int)
    for done, taken in zip(run.done, run.taken, strict=True):
        name = done.step.fault.name
        times[name] += 1
        seconds[name] += done.ended - done.began
        events[name] += taken
    return (
        "",
        "## What was done",
        "",
        "Seconds are from the fault to when it was over, or the process there again; webhooks are those taken "
        "meanwhile.",
        "",
        "| fault | times | seconds | webhooks |",
        "|---|---|---|---|",
        *(f"| {name} | {times[name]} | {seconds[name]:.0f} | {events[name]} |" for name in sorted(times)),
    )


def _record(run: Run) -> tuple[str, ...]:
    found = run.found
    answers = ", ".join(f"{code} {count:,} times" for code, count in sorted(run.answers.items()))
    told = ", ".join(f"{count:,} by {channel}" for channel, count in found.told.items())
    return (
        "",
        "## The run",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {run.minutes:g} minutes, seed {run.seed}, {os.cpu_count()} cores "
        f"({platform.machine()}), Python {platform.python_version()}. Webhooks: {run.sent:,} requests, answered "
        f"{answers}; {run.unreachable:,} without an answer. Received to confirmed by Salesforce: "
        f"p50 {found.p50} s, p99 {found.p99} s. Of {found.notices:,} notices arrived: {told}; one whose process is "
        "killed while it tells, or whose answer is lost, is told by nobody again.",
    )
