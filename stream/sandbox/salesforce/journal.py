"""What a restart needs, in SQLite: records, changes of the schema, Bulk jobs.

One commit per request, in WAL mode with `synchronous=NORMAL`: what was answered survives `kill -9`. It need not
survive a power cut, which is what the two-fold time of `FULL` would buy.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from stream.sandbox.salesforce.store import Change, Row

_TABLES = """
CREATE TABLE IF NOT EXISTS records (id TEXT PRIMARY KEY, object TEXT, deleted INTEGER, row BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, info BLOB, data BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outcomes (job TEXT, number INTEGER, outcome BLOB, PRIMARY KEY (job, number))
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
"""

_encode = msgspec.json.encode
_row = msgspec.json.Decoder(Row).decode


class Journal:
    """The file behind a running org; in memory when no path is given."""

    def __init__(self, path: Path | None = None) -> None:
        self._durable = path is not None
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + _TABLES)

    def records(self) -> Iterator[tuple[str, str, Row, bool]]:
        """Object, ID, row and whether it is deleted, in the order of the IDs."""
        for identifier, entity, deleted, row in self._db.execute(
            "SELECT id, object, deleted, row FROM records ORDER BY id"
        ):
            yield entity, identifier, _row(row), bool(deleted)

    def commit(
        self, changes: Iterable[Change], job: tuple[str, bytes, dict[int, bytes]] | None = None
    ) -> None:
        """Keeps the changes, and the progress of a Bulk job with them, all or none."""
        if not self._durable:
            return
        kept = [(c.identifier, c.entity, c.deleted, _encode(c.row)) for c in changes if c.row is not None]
        gone = [(c.identifier,) for c in changes if c.row is None]
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)", kept)
            self._db.executemany("DELETE FROM records WHERE id = ?", gone)
            if job is not None:
                identifier, info, outcomes = job
                self._db.execute("UPDATE jobs SET info = ? WHERE id = ?", (info, identifier))
                rows = [(identifier, number, outcome) for number, outcome in outcomes.items()]
                self._db.executemany("INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?)", rows)

    def keep_job(self, identifier: str, info: bytes, data: bytes) -> None:
        """Keeps a Bulk job with its data."""
        if self._durable:
            self._db.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?)", (identifier, info, data))

    def drop_job(self, identifier: str) -> None:
        """Forgets a Bulk job."""
        if self._durable:
            with self._transaction():
                self._db.execute("DELETE FROM jobs WHERE id = ?", (identifier,))
                self._db.execute("DELETE FROM outcomes WHERE job = ?", (identifier,))

    def jobs(self) -> Iterator[tuple[bytes, bytes, dict[int, bytes]]]:
        """Info, data and outcomes of every Bulk job, oldest first."""
        for identifier, info, data in self._db.execute(
            "SELECT id, info, data FROM jobs ORDER BY id"
        ).fetchall():
            outcomes = self._db.execute("SELECT number, outcome FROM outcomes WHERE job = ?", (identifier,))
            yield info, data, dict(outcomes.fetchall())

    def note(self, name: str, value: bytes) -> None:
        """Keeps one named value."""
        self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    def noted(self, name: str) -> bytes | None:
        """A value kept under a name."""
        found = self._db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return found[0] if found else None

    def clear(self) -> None:
        """Forgets everything."""
        with self._transaction():
            for table in ("records", "jobs", "outcomes", "notes"):
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608  the names are above

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def _transaction(self) -> sqlite3.Connection:
        self._db.execute("BEGIN IMMEDIATE")
        return self._db  # leaving `with connection` commits, or rolls back after an exception
