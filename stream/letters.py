"""Dead letters as an operator sees them: what they say, which are meant, and whether they may go again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from stream.deadletter import PREFIX
from stream.kafka.batches import Record
from stream.records import REPLAY, Write, decode_write
from stream.topics import SALESFORCE_WRITES, STRIPE_EVENTS

# Where an original may be sent again: a header could name any topic.
ORIGINS = (STRIPE_EVENTS, SALESFORCE_WRITES)


class Letter(msgspec.Struct, frozen=True):
    """A dead letter without its content. `partition` and `offset` are its own and name it; `origin_…` are the
    refused record's. `version` is a write's, None for an event. `failed_at` is epoch milliseconds. `events` are the
    IDs of Stripe's events that it came of."""

    partition: int
    offset: int
    key: str
    origin_topic: str
    origin_offset: int
    stage: str
    code: str
    message: str
    fields: str
    failed_at: int
    version: int | None = None
    closed: str | None = None
    events: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How commands name it."""
        return f"{self.partition}:{self.offset}"

    @property
    def object(self) -> str:
        """The Salesforce object of a write; empty for an event."""
        return self.key.partition(":")[0] if self.origin_topic == SALESFORCE_WRITES else ""


class Wanted(msgspec.Struct, frozen=True):
    """Which letters are meant: all that pass. `since` is epoch milliseconds; `names` empty means any."""

    cause: str | None = None
    object: str | None = None
    stage: str | None = None
    since: int | None = None
    names: frozenset[str] = frozenset()

    def takes(self, letter: Letter) -> bool:
        """Whether a letter passes."""
        return (
            (self.cause is None or letter.code == self.cause)
            and (self.object is None or letter.object == self.object)
            and (self.stage is None or letter.stage == self.stage)
            and (self.since is None or letter.failed_at >= self.since)
            and (not self.names or letter.name in self.names)
        )


def read(
    partition: int,
    offset: int,
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes]],
    closed: Mapping[tuple[int, int], str],
) -> Letter:
    """A record of `revstream.dead-letters`. What it does not say is empty."""
    headers = list(headers)
    said = {
        name.removeprefix(PREFIX): text.decode(errors="replace")
        for name, text in headers
        if name.startswith(PREFIX)
    }
    write = _write(value) if said.get("topic") == SALESFORCE_WRITES else None
    return Letter(
        partition,
        offset,
        (key or b"").decode(errors="replace"),
        said.get("topic", ""),
        _number(said.get("offset")),
        said.get("stage", ""),
        said.get("code", ""),
        said.get("message", ""),
        said.get("fields", ""),
        _number(said.get("failed_at")),
        write.version if write else None,
        closed.get((partition, offset)),
        tuple(event.id for event in write.events) if write else _event(said.get("topic"), headers),
    )


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


def _write(value: bytes | None) -> Write | None:
    try:
        return decode_write(value or b"")
    except msgspec.DecodeError:
        return None


def _event(topic: str | None, headers: Iterable[tuple[str, bytes]]) -> tuple[str, ...]:
    id_ = dict(headers).get("id") if topic == STRIPE_EVENTS else None
    return (id_.decode(errors="replace"),) if id_ else ()


def again(
    letter: Letter, key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]]
) -> Record:
    """The original as it was, to where it came from, marked as a replay."""
    kept = tuple((name, text) for name, text in headers if not name.startswith(PREFIX) and name != REPLAY[0])
    return Record(letter.origin_topic, letter.partition, key, value, (*kept, REPLAY))


def superseded(letters: Iterable[Letter], newest: Mapping[str, tuple[int, int]]) -> set[str]:
    """The names of letters whose record was asked for anew since. `newest` gives, by key, version and offset of the
    newest write; of an equal version the later write is the newer."""
    return {
        letter.name
        for letter in letters
        if letter.version is not None
        and letter.key in newest
        and newest[letter.key] > (letter.version, letter.origin_offset)
    }
