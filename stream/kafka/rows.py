"""A Faust table's rows, read and written by partition.

Faust finds the partition of a row by the event that is being worked on. Chunks are worked on in tasks of their
own, so here the partition is named; and the rows of a chunk go in at once, together with the changelog offset
up to which the table then is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import faust
import msgspec
import rocksdict
from aiokafka import ConsumerRecord
from faust.stores import memory, rocksdb

from stream.kafka.epochs import Epochs, mark

# Of each table and partition, of which a projector may own dozens. By default each may hold three times 64 MB in
# memory before it writes, and cache 2 GB.
ROCKSDB = {
    "write_buffer_size": 8 * 1024 * 1024,
    "max_write_buffer_number": 2,
    "block_cache_size": 16 * 1024 * 1024,
}

# Beside Faust's key of the offset.
_EPOCH_KEY = b"__revstream\0epoch__"


class ChangelogError(Exception):
    """A table's changelog holds a record that cannot be read; going on would lose that customer's state."""


class Rows:
    """The rows of one table, raw bytes. RocksDB or memory, as the app is set. `check` raises
    msgspec.DecodeError for a row that cannot be read."""

    def __init__(self, table: faust.Table, check: Callable[[bytes | None], object]) -> None:
        self._table = table
        self._check = check
        self._epochs = Epochs()
        self._overwritten: dict[int, set[bytes]] = {}
        self._unreadable: dict[int, dict[bytes, tuple[int, msgspec.DecodeError]]] = {}
        recovery = table.app.tables.recovery
        recovery.restores[table.changelog_topic_name] = self.restore
        recovery.checks[table.changelog_topic_name] = self.restored

    @property
    def name(self) -> str:
        """The table's."""
        return str(self._table.name)

    def get(self, partition: int, key: bytes) -> bytes | None:
        """A row, or None."""
        store = self._table.data
        value: bytes | None = (
            store._db_for_partition(partition).get(key)
            if isinstance(store, rocksdb.Store)
            else store.data.get(key)
        )
        return value

    def items(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """All rows of a partition, as they are now."""
        store = self._table.data
        if isinstance(store, rocksdb.Store):
            for key, value in store._db_for_partition(partition).items():
                if key not in (store.offset_key, _EPOCH_KEY):
                    yield key, value
        else:
            for key, at in list(store._key_partition.items()):
                if at == partition and (value := store.data.get(key)) is not None:
                    yield key, value

    def epoch(self, partition: int) -> int:
        """The newest epoch that a partition's changelog is known to have been written in."""
        self._remember(partition)
        return self._epochs.newest(partition)

    def overwritten(self, partition: int) -> Collection[bytes]:
        """The rows over which a former owner wrote in the changelog, too late. Unless they are written there again,
        compaction keeps what that one wrote."""
        return self._overwritten.get(partition, ())

    def put(self, partition: int, rows: Mapping[bytes, bytes | None], offset: int, epoch: int) -> None:
        """Writes rows that the changelog has up to an offset, written in an epoch of ours: all of them or, after a
        crash, none."""
        self._epochs.late(partition, offset, (mark(epoch),))
        self._overwritten.get(partition, set()).difference_update(rows)
        self._put(partition, rows, offset)

    def _put(self, partition: int, rows: Mapping[bytes, bytes | None], offset: int) -> None:
        store = self._table.data
        if isinstance(store, rocksdb.Store):
            batch = rocksdict.WriteBatch(raw_mode=True)
            for key, value in rows.items():
                if value is None:
                    batch.delete(key)
                else:
                    batch.put(key, value)
            batch.put(store.offset_key, str(offset).encode())
            batch.put(_EPOCH_KEY, str(self._epochs.at(partition, offset + 1)).encode())
            store._db_for_partition(partition).write(batch)
        else:
            store.data.update(rows)
            # Faust drops by this what it holds of partitions that others got.
            store._key_partition.update(dict.fromkeys(rows, partition))

    def restore(self, partition: int, records: Sequence[ConsumerRecord]) -> None:
        """Takes the table's own records back from its changelog, in their order, but for those of former owners who
        came too late, and those that cannot be read: a later one of the same row may take their place."""
        self._remember(partition)
        rows: dict[bytes, bytes | None] = {}
        late = self._overwritten.setdefault(partition, set())
        unreadable = self._unreadable.setdefault(partition, {})
        for record in records:
            if self._epochs.late(partition, record.offset, record.headers):
                late.add(record.key)
                continue
            try:
                self._check(record.value)
            except msgspec.DecodeError as error:
                unreadable[record.key] = record.offset, error
                rows.pop(record.key, None)
                continue
            rows[record.key] = record.value
            late.discard(record.key)
        for key in unreadable.keys() & rows.keys():
            del unreadable[key]
        # RocksDB's files go on behind this offset: with what is not there yet.
        missing = min((offset for offset, _ in unreadable.values()), default=records[-1].offset + 1)
        self._put(partition, rows, missing - 1)

    def restored(self, partition: int) -> None:
        """The changelog has been read to its end. Raises ChangelogError when a last record cannot be read."""
        for offset, error in self._unreadable.get(partition, {}).values():
            raise ChangelogError(
                f"The changelog of {self.name} cannot be read at partition {partition}, offset {offset}: {error}. "
                "Restore that record, or rebuild the table from the events."
            )

    def _remember(self, partition: int) -> None:
        """Takes the epoch back that the files of a partition are of, which go on where their last record was."""
        store = self._table.data
        if isinstance(store, rocksdb.Store):
            db = store._db_for_partition(partition)
            if (epoch := db.get(_EPOCH_KEY)) and (offset := db.get(store.offset_key)):
                self._epochs.late(partition, int(offset), (mark(int(epoch)),))

    def count(self) -> int | None:
        """How many rows there are; None where they would have to be counted one by one."""
        store: Any = self._table.data
        return len(store.data) if isinstance(store, memory.Store) else None
