"""What is done to the group, and when: a schedule that a seed repeats. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

Kind = Literal["kill", "freeze", "restart", "network", "disk full", "join", "salesforce"]

STAGES = ("gateway", "projector", "writer", "notifier")
PROCESSES = (*STAGES, "kafka", "salesforce")


class Fault(msgspec.Struct, frozen=True):
    """One thing that goes wrong. `target` is a process, or for `network` what is cut off: `kafka` (from all),
    `kafka/<stage>`, `salesforce`, `slack`. `how` says more: the network's ill, or the sandbox's fault by name."""

    kind: Kind
    target: str
    how: str = ""

    @property
    def name(self) -> str:
        """For people."""
        words = {
            "kill": f"kill -9 of {self.target}",
            "freeze": f"SIGSTOP of {self.target}",
            "restart": f"restart of {self.target}",
            "network": f"network to {self.target.replace('/', ' of ')}: {self.how}",
            "disk full": f"disk full under {self.target}'s tables",
            "join": f"a second {self.target} joins and leaves",
            "salesforce": f"Salesforce: {self.how}",
        }
        return words[self.kind]

    @property
    def touches(self) -> str:
        """Two faults that touch the same are not on at the same time: each would undo the other."""
        if self.kind == "network":
            return f"network to {self.target.partition('/')[0]}"
        return f"another {self.target}" if self.kind == "join" else self.target


class Step(msgspec.Struct, frozen=True):
    """A fault that begins `at` so many seconds and is on for `seconds`; a killed process comes back by itself."""

    at: float
    seconds: float
    fault: Fault


# What the local Salesforce does on request, by its admin call; each ends with the step that asked for it. A row
# lock is met fewer times than a row is tried, so that none becomes a dead letter by right.
SALESFORCE: dict[str, dict[str, Any]] = {
    "answers 503": {"do": "answer", "status": 503, "code": "SERVER_UNAVAILABLE", "times": None},
    "answers 500": {"do": "answer", "status": 500, "times": None},
    "drops calls before it works": {"do": "drop", "times": None},
    "drops answers after it has worked": {"do": "drop-after", "times": None, "skip": 1},
    "drops some answers after it has worked": {"do": "drop-after", "times": 4, "skip": 3},
    "is slow": {"do": "delay", "seconds": 3, "times": None},
    "forgets its tokens": {"do": "expire-tokens", "times": 5},
    "locks rows": {"do": "refuse-rows", "code": "UNABLE_TO_LOCK_ROW", "times": 3},
    "fails a Bulk job": {"do": "fail-job"},
}

DECK: tuple[Fault, ...] = (
    *(Fault("kill", name) for name in PROCESSES),
    *(Fault("freeze", name) for name in PROCESSES),
    Fault("restart", "kafka"),
    *(
        Fault("network", target, ill)
        for target in ("kafka", "salesforce")
        for ill in ("slow", "thin", "resetting", "silent", "half-closed", "cut")
    ),
    *(Fault("network", f"kafka/{stage}", ill) for stage in STAGES for ill in ("resetting", "silent", "cut")),
    *(Fault("network", "slack", ill) for ill in ("slow", "resetting", "silent", "half-closed", "cut")),
    Fault("disk full", "projector"),
    Fault("disk full", "projector"),
    *(Fault("join", stage) for stage in ("projector", "writer", "notifier") for _ in range(4)),
    *(Fault("salesforce", "salesforce", how) for how in SALESFORCE),
)

# Of each kind one that has much to lose, for a run of a minute.
SHORT: tuple[Fault, ...] = (
    Fault("join", "projector"),
    Fault("network", "salesforce", "resetting"),
    Fault("kill", "writer"),
    Fault("kill", "kafka"),
    Fault("disk full", "projector"),
    Fault("salesforce", "salesforce", "drops answers after it has worked"),
)

# Seconds: shorter and longer than the 6 after which Kafka takes a silent process for dead.
LASTING = (2.0, 12.0)
# From one beginning to the next, on average half of it: some overlap.
APART = (3.0, 18.0)
# At the end, so that traffic ends in quiet.
QUIET_SECONDS = 15.0


def schedule(seed: int, seconds: float, deck: Sequence[Fault] = DECK) -> tuple[Step, ...]:
    """Faults for so many seconds, those of the deck in turn, shuffled anew each time. The same arguments give the
    same schedule."""
    rng = random.Random(f"{seed}/faults")
    steps: list[Step] = []
    free: dict[str, float] = {}
    at = rng.uniform(*APART)
    for fault in _dealt(rng, deck):
        lasts = rng.uniform(*LASTING)
        at = max(at, free.get(fault.touches, 0.0))
        if at + lasts > seconds - QUIET_SECONDS:
            return tuple(steps)
        steps.append(Step(round(at, 1), round(lasts, 1), fault))
        free[fault.touches] = at + lasts + APART[0]
        at += rng.uniform(*APART)
    raise AssertionError("not reached")


def all_of(seed: int, deck: Sequence[Fault] = SHORT) -> tuple[Step, ...]:
    """Each fault of a deck once, short, in an order that the seed decides."""
    rng = random.Random(f"{seed}/faults")
    return tuple(Step(0, round(rng.uniform(1.0, 3.0), 1), fault) for fault in rng.sample(deck, len(deck)))


def _dealt(rng: random.Random, deck: Sequence[Fault]) -> Iterable[Fault]:
    while True:
        yield from rng.sample(deck, len(deck))
