"""What an operator has asked the stages to do, as records of `revstream.control`. Pure.

A record's key names what it controls, its value is one of these shapes; a record without a value takes it back.
The topic is compacted, so a stage that starts reads what still holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

ALL = "all"  # every object, as the key of a pause

T = TypeVar("T")


class Pause(msgspec.Struct, frozen=True, tag="pause"):
    """Writes of an object, or of all, are held back. `at` is epoch milliseconds."""

    object: str
    reason: str
    at: int

    @property
    def key(self) -> str:
        return pause_key(self.object)


class Hold(msgspec.Struct, frozen=True, tag="hold"):
    """A stage is to leave its group and to wait. `at` is epoch milliseconds."""

    stage: str
    reason: str
    at: int

    @property
    def key(self) -> str:
        return hold_key(self.stage)


class Closed(msgspec.Struct, frozen=True, tag="closed"):
    """A dead letter that is done with. `offset` is its own on `revstream.dead-letters`."""

    partition: int
    offset: int
    how: str  # redriven, replayed, discarded or superseded
    reason: str
    at: int

    @property
    def key(self) -> str:
        return f"dead-letter:{self.partition}:{self.offset}"


Order = Pause | Hold | Closed

encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Order).decode


def pause_key(object_: str) -> str:
    """The Kafka key of a pause."""
    return f"pause:{object_}"


def hold_key(stage: str) -> str:
    """The Kafka key of a hold."""
    return f"hold:{stage}"


class Orders:
    """The orders that hold, by key."""

    def __init__(self) -> None:
        self._held: dict[str, Order] = {}

    def read(self, key: bytes | None, value: bytes | None) -> bool:
        """Takes a record in. False when it is of a kind that this Revstream does not know, and is left out."""
        name = (key or b"").decode(errors="replace")
        if value is None:
            self._held.pop(name, None)
            return True
        try:
            self._held[name] = _decode(value)
        except msgspec.DecodeError:
            return False
        return True

    @property
    def all(self) -> Mapping[str, Order]:
        """By key."""
        return self._held

    @property
    def paused(self) -> dict[str, str]:
        """Objects whose writes are held back, `all` for every one, and the reason."""
        return {one.object: one.reason for one in self._of(Pause)}

    @property
    def held(self) -> dict[str, str]:
        """Stages that are to stay out of their groups, and the reason."""
        return {one.stage: one.reason for one in self._of(Hold)}

    @property
    def closed(self) -> dict[tuple[int, int], Closed]:
        """Dead letters that are done with, by partition and offset."""
        return {(one.partition, one.offset): one for one in self._of(Closed)}

    def _of(self, kind: type[T]) -> Iterable[T]:
        return [one for one in self._held.values() if isinstance(one, kind)]
