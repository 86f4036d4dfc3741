"""Up to where every notice has been dealt with, by partition. Pure."""

from __future__ import annotations

from collections.abc import Iterable


class Progress:
    """Offsets of `revstream.notices` that are in hand. A notice is done once every channel is done with it."""

    def __init__(self) -> None:
        self._open: dict[int, dict[int, set[str]]] = {}
        self._next: dict[int, int] = {}
        self._told: dict[int, int] = {}

    def begin(self, partition: int, offset: int, channels: Iterable[str] = ()) -> None:
        """A notice was read, and these channels have to deal with it."""
        if waiting := set(channels):
            self._open.setdefault(partition, {})[offset] = waiting
        self._next[partition] = offset + 1

    def done(self, partition: int, offset: int, channel: str) -> None:
        """A channel is done with a notice. It may be twice, when a partition went and came back."""
        notices = self._open.get(partition, {})
        if offset in notices:  # else the partition was given away meanwhile
            notices[offset].discard(channel)
            if not notices[offset]:
                del notices[offset]

    def forget(self, partitions: Iterable[int]) -> None:
        """These partitions are another process' now."""
        for partition in partitions:
            for held in (self._open, self._next, self._told):
                held.pop(partition, None)

    def commits(self) -> dict[int, int]:
        """The offsets to commit, where they differ from what was committed last."""
        reached = {
            partition: min(self._open.get(partition) or (next_,)) for partition, next_ in self._next.items()
        }
        return {partition: at for partition, at in reached.items() if self._told.get(partition) != at}

    def committed(self, offsets: dict[int, int]) -> None:
        """Notes what was committed."""
        self._told |= offsets

    @property
    def count(self) -> int:
        """Notices in hand."""
        return sum(map(len, self._open.values()))
