"""What has been read and not yet settled: which rows may go, and how far the offsets may move. Pure.

Of several writes of one record only the newest goes. A row in flight keeps its whole customer to itself: no
other call may touch that Account, which rules out locks between our own requests. A child waits for its
parent's write. The offset to commit is the lowest one not yet settled, never past a gap.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from heapq import merge

import msgspec

from stream.salesforce.rows import Row

# Parents before children. An object that is not listed has Accounts above it, and nothing below.
_LEVELS = {"Account": 0, "Product2": 0, "Task": 2, "Event": 2, "CampaignMember": 2, "OpportunityLineItem": 2}

# What a row takes beside its bytes, as tracemalloc shows it of an Account with every field of the default mapping.
_ROW_BYTES = 4800


def level(object_: str) -> int:
    """The order in which objects are written within a window."""
    return _LEVELS.get(object_, 1)


class Claim(msgspec.Struct, eq=False):
    """A Bulk job of an earlier life that may hold rows which are read again: those of its object below `ends`
    (partition → offset). They stay in flight until it is known what became of the job."""

    job: str
    object: str
    ends: dict[int, int]
    rows: dict[str, Row] = {}

    def covers(self, row: Row) -> bool:
        """Whether the job may hold this row."""
        return row.write.object == self.object and row.offset < self.ends.get(row.partition, 0)


class _Offsets:
    """The offsets of one partition that are not yet settled."""

    def __init__(self) -> None:
        self.next: int | None = None
        self._open: deque[int] = deque()
        self._done: set[int] = set()

    def read(self, offset: int) -> bool:
        """False for a record that has been read before."""
        if self.next is not None and offset < self.next:
            return False
        self.next = offset + 1
        self._open.append(offset)
        return True

    def done(self, offset: int) -> None:
        self._done.add(offset)
        while self._open and self._open[0] in self._done:
            self._done.remove(self._open.popleft())

    @property
    def committable(self) -> int | None:
        return self._open[0] if self._open else self.next


class Book:
    """The rows of this process' partitions."""

    def __init__(self) -> None:
        self._pending: dict[str, dict[str, Row]] = {}
        self._flying: dict[str, Row] = {}
        self._accounts: Counter[str] = Counter()
        self._offsets: dict[int, _Offsets] = {}
        self._claims: list[Claim] = []
        self._seen = 0
        self.rows = 0
        self.bytes = 0

    # Partitions

    def own(self, partitions: Iterable[int]) -> None:
        """Takes partitions on; rows of others are not taken."""
        for partition in partitions:
            self._offsets[partition] = _Offsets()

    def forget(self) -> None:
        """Drops everything: on a rebalance every partition is revoked and read again from its commit."""
        for held in (self._pending, self._flying, self._accounts, self._offsets, self._claims):
            held.clear()
        self.rows = self.bytes = 0

    def committable(self) -> dict[int, int]:
        """By partition, the offset up to which everything is settled; nothing for partitions not read yet."""
        found = {partition: offsets.committable for partition, offsets in self._offsets.items()}
        return {partition: offset for partition, offset in found.items() if offset is not None}

    def position(self, partition: int) -> int:
        """The offset after the last record read."""
        offsets = self._offsets.get(partition)
        return (offsets.next or 0) if offsets else 0

    # Rows in

    def begin(self, partition: int, offset: int) -> bool:
        """Notes a record as read. False when it is not ours, or was read before: then it is to be dropped."""
        offsets = self._offsets.get(partition)
        return offsets is not None and offsets.read(offset)

    def end(self, partition: int, offset: int) -> None:
        """Notes a record as settled."""
        if offsets := self._offsets.get(partition):
            offsets.done(offset)

    def note(self, row: Row) -> None:
        """Counts a row that is settled as soon as it is read; `resolve` uncounts it."""
        self._seen += 1
        row.seen = self._seen
        self.rows += 1
        self.bytes += _ROW_BYTES + len(row.value)

    def add(self, row: Row) -> Row | None:
        """Takes a row on; gives the one that it makes superfluous (an older write of the record, or itself)."""
        self.note(row)
        for claim in self._claims:
            if claim.covers(row):
                return self._claim(claim, row)
        return self._put(row)

    def _put(self, row: Row) -> Row | None:
        rows = self._pending.setdefault(row.write.object, {})
        other = rows.get(row.write.key)
        if other is None:
            rows[row.write.key] = row
            return None
        newer, older = _by_age(row, other)
        rows[row.write.key] = _instead(newer, older)
        return older

    def claim(self, claim: Claim) -> list[Row]:
        """Puts the rows that an earlier Bulk job may hold in its care, those read from now on too. Gives the
        superfluous ones."""
        self._claims.append(claim)
        covered = [row for row in self._pending.get(claim.object, {}).values() if claim.covers(row)]
        for row in covered:
            del self._pending[claim.object][row.write.key]
        return [older for row in covered if (older := self._claim(claim, row))]

    def _claim(self, claim: Claim, row: Row) -> Row | None:
        key = row.write.key
        other = claim.rows.get(key)
        if other is None:
            claim.rows[key] = row
            self._fly(row)
            return None
        newer, older = _by_age(row, other)
        claim.rows[key] = self._flying[key] = _instead(newer, older)
        return older

    def unclaim(self, claim: Claim) -> None:
        """Ends the job's care; its rows are to be resolved or released by the caller."""
        self._claims.remove(claim)

    # Rows out

    def take(self, limit: int, now: float, allowed: Callable[[str], int]) -> list[Row]:
        """The next window, oldest rows first: those that nothing holds back. They are in flight from now on.

        `allowed` says how many rows of an object may go now: none while its lane is paused, few on a trial.
        """
        left = {name: allowed(name) for name in self._pending}
        lanes = [rows.values() for name, rows in self._pending.items() if left[name] > 0]
        window: dict[str, Row] = {}
        for row in merge(*lanes, key=lambda row: row.seen):
            if len(window) >= limit:
                break
            name = row.write.object
            if left[name] and row.not_before <= now and not self._kept_back(row, window):
                window[row.write.key] = row
                left[name] -= 1
        for key, row in window.items():
            del self._pending[row.write.object][key]
            self._fly(row)
        return list(window.values())

    def _kept_back(self, row: Row, window: dict[str, Row]) -> bool:
        if row.write.account in self._accounts:
            return True
        return any(parent not in window and self._unsettled(parent) for parent in row.parents)

    def _unsettled(self, key: str) -> bool:
        return key in self._flying or key in self._pending.get(key.partition(":")[0], ())

    def blocked(self, row: Row) -> bool:
        """Whether a parent's write is still unsettled, after the window has tried it."""
        return any(self._unsettled(parent) for parent in row.parents if parent != row.write.key)

    def release(self, rows: Iterable[Row]) -> list[Row]:
        """Rows in flight wait again. Gives those that a newer write has made superfluous meanwhile."""
        older = []
        for row in rows:
            self._land(row)
            if superfluous := self._put(row):
                older.append(superfluous)
        return older

    def resolve(self, row: Row) -> None:
        """The row's outcome is known and told: its offset may move."""
        if self._flying.get(row.write.key) is row:
            self._land(row)
        elif self._pending.get(row.write.object, {}).get(row.write.key) is row:
            del self._pending[row.write.object][row.write.key]
        self.rows -= 1
        self.bytes -= _ROW_BYTES + len(row.value)
        self.end(row.partition, row.offset)

    def _fly(self, row: Row) -> None:
        self._flying[row.write.key] = row
        self._accounts[row.write.account] += 1

    def _land(self, row: Row) -> None:
        del self._flying[row.write.key]
        self._accounts[row.write.account] -= 1
        if not self._accounts[row.write.account]:
            del self._accounts[row.write.account]

    # What is there

    def waiting(self, object_: str | None = None) -> int:
        """Rows not in flight, of one object or of all."""
        lanes = self._pending.values() if object_ is None else (self._pending.get(object_, {}),)
        return sum(len(rows) for rows in lanes)

    def held_until(self, after: float) -> float | None:
        """When the next row that is held back may go, of those held beyond a time; None when no row is."""
        held = (row.not_before for rows in self._pending.values() for row in rows.values())
        return min((at for at in held if at > after), default=None)


def _by_age(later: Row, earlier: Row) -> tuple[Row, Row]:
    """Newer and older of two writes of one record: the later in the log, unless it tells of an older state (a
    dead letter sent again)."""
    if later.offset < earlier.offset:
        later, earlier = earlier, later
    if later.write.version < earlier.write.version:
        return earlier, later
    return later, earlier


def _instead(newer: Row, older: Row) -> Row:
    """The newer row takes over the older one's place in the queue, its events, how it was matched and
    that it is of a replay."""
    newer.seen = min(newer.seen, older.seen)
    newer.waited = (*older.waited, *older.write.events, *newer.waited)
    newer.replay = newer.replay or older.replay
    newer.matched_by = newer.matched_by or older.matched_by
    return newer
