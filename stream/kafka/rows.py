"""A Faust table's rows, read and written by partition.

Faust finds the partition of a row by the event that is being worked on. Chunks are worked on in tasks of their
own, so here the partition is named; and the rows of a chunk go in at once, together with the changelog offset
up to which the table then is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import faust
import msgspec
import rocksdict
from aiokafka import ConsumerRecord
from faust.stores import memory, rocksdb

# Of each table and partition, of which a projector may own dozens. By default each may hold three times 64 MB in
# memory before it writes, and cache 2 GB.
ROCKSDB = {
    "write_buffer_size": 8 * 1024 * 1024,
    "max_write_buffer_number": 2,
    "block_cache_size": 16 * 1024 * 1024,
}


class ChangelogError(Exception):
    """A table's changelog holds a record that cannot be read; going on would lose that customer's state."""


class Rows:
    """The rows of one table, raw bytes. RocksDB or memory, as the app is set. `check` raises
    msgspec.DecodeError for a row that cannot be read."""

    def __init__(self, table: faust.Table, check: Callable[[bytes | None], object]) -> None:
        self._table = table
        self._check = check
        table.app.tables.recovery.restores[table.changelog_topic_name] = self.restore

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
                if key != store.offset_key:
                    yield key, value
        else:
            for key, at in list(store._key_partition.items()):
                if at == partition and (value := store.data.get(key)) is not None:
                    yield key, value

    def put(self, partition: int, rows: Mapping[bytes, bytes | None], offset: int) -> None:
        """Writes rows that the changelog has up to an offset: all of them or, after a crash, none."""
        store = self._table.data
        if isinstance(store, rocksdb.Store):
            batch = rocksdict.WriteBatch(raw_mode=True)
            for key, value in rows.items():
                if value is None:
                    batch.delete(key)
                else:
                    batch.put(key, value)
            batch.put(store.offset_key, str(offset).encode())
            store._db_for_partition(partition).write(batch)
        else:
            store.data.update(rows)
            # Faust drops by this what it holds of partitions that others got.
            store._key_partition.update(dict.fromkeys(rows, partition))

    def restore(self, partition: int, records: Sequence[ConsumerRecord]) -> None:
        """Takes the table's own records back from its changelog, in their order. Raises ChangelogError."""
        for record in records:
            try:
                self._check(record.value)
            except msgspec.DecodeError as error:
                raise ChangelogError(
                    f"The changelog of {self.name} cannot be read at partition {partition}, offset "
                    f"{record.offset}: {error}. Restore that record, or rebuild the table from the events."
                ) from None
        self.put(partition, {record.key: record.value for record in records}, records[-1].offset)

    def count(self) -> int | None:
        """How many rows there are; None where they would have to be counted one by one."""
        store: Any = self._table.data
        return len(store.data) if isinstance(store, memory.Store) else None
