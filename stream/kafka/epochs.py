"""Which of a changelog's records an owner of the partition wrote, and which a former one too late.

A worker that was thought dead (frozen, or cut off for longer than its session) may have a record on its way when
another already owns the partition. Kafka has no fence for that but transactions, and a changelog keeps what comes
last: so the late row would undo, at the next recovery, all that the new owner has added to that row. Each owner
therefore writes its epoch beside the row. Epochs grow from owner to owner, so a record with a lower one than any
before it is late. Records without one were written while nobody owned the partition, and are never late.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

Headers = Sequence[tuple[str, bytes]]

HEADER = "epoch"


def mark(epoch: int) -> tuple[str, bytes]:
    """The header of a record that is written in an epoch."""
    return HEADER, b"%d" % epoch


class Epochs:
    """From which offset on which epoch holds, by partition of one changelog."""

    def __init__(self) -> None:
        self._since: dict[int, list[tuple[int, int]]] = {}  # (first offset, epoch), both ascending

    def late(self, partition: int, offset: int, headers: Headers) -> bool:
        """Whether a record is one of a former owner. Records are to be asked about in order; to begin again at an
        earlier one does no harm."""
        told = next((value for name, value in headers if name == HEADER), None)
        if told is None:
            return False
        epoch, before = int(told), self.at(partition, offset)
        if epoch > before:
            insort(self._since.setdefault(partition, []), (offset, epoch))
        return epoch < before

    def at(self, partition: int, offset: int) -> int:
        """The epoch that holds before an offset; 0 where none is known."""
        return next((epoch for first, epoch in reversed(self._since.get(partition, ())) if first < offset), 0)

    def newest(self, partition: int) -> int:
        """The last epoch that is known; 0 for none."""
        since = self._since.get(partition)
        return since[-1][1] if since else 0
