"""Which events a replay is about, and how far it has come. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from stream.kafka.plan import PlanError
from stream.kafka.scan import Ranges
from stream.letters import Letter
from stream.records import REPLAY


class Chosen(msgspec.Struct, frozen=True):
    """Which events are meant: those that pass every filter given. Times are epoch milliseconds; `events` are the
    IDs of those that dead letters came of."""

    customer: str | None = None
    event: str | None = None
    type: str | None = None
    until: int | None = None
    events: frozenset[str] | None = None

    @property
    def narrow(self) -> bool:
        """Whether of a customer's events some are left out that others of the same time are not."""
        return any(one is not None for one in (self.event, self.type, self.until, self.events))

    def takes(self, key: bytes | None, headers: dict[str, bytes], timestamp: int) -> bool:
        """Whether an event passes. One that is itself a replay does not: its original is there, too."""
        return (
            REPLAY[0] not in headers
            and (self.customer is None or key == self.customer.encode())
            and (self.event is None or headers.get("id") == self.event.encode())
            and (self.type is None or headers.get("type") == self.type.encode())
            and (self.until is None or timestamp < self.until)
            and (self.events is None or headers.get("id", b"").decode(errors="replace") in self.events)
        )


class Progress(msgspec.Struct):
    """How far a replay has come: what is left to look at, by partition, and how many were sent. `letters` are the
    dead letters (partition, offset) that are done with once all is sent."""

    chosen: Chosen
    left: Ranges
    sent: int = 0
    letters: list[tuple[int, int]] = []


def of_letters(letters: Iterable[Letter]) -> frozenset[str]:
    """The IDs of the events that dead letters came of."""
    return frozenset(id_ for letter in letters for id_ in letter.events)


def replayed(letters: Iterable[Letter], found: frozenset[str]) -> list[tuple[int, int]]:
    """The letters that are done with when the events that were found are sent: those with all of theirs among
    them."""
    return [
        (letter.partition, letter.offset)
        for letter in letters
        if letter.events and found.issuperset(letter.events)
    ]


def read(kept: bytes) -> Progress:
    """A progress file. Raises PlanError when it is none."""
    try:
        return msgspec.json.decode(kept, type=Progress)
    except msgspec.DecodeError as error:
        raise PlanError(f"This is no progress file of a replay: {error}.") from None


def keep(target: Path, progress: Progress) -> None:
    """Replaces the file as a whole: a stop in the middle must not leave half of one."""
    fresh = target.with_name(f"{target.name}.new")
    fresh.write_bytes(msgspec.json.encode(progress))
    fresh.replace(target)
