"""The org: its records, and everything that is shared between requests."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from stream.sandbox.salesforce import schema as schemas
from stream.sandbox.salesforce import values
from stream.sandbox.salesforce.dml import Dml
from stream.sandbox.salesforce.faults import Faults
from stream.sandbox.salesforce.identifiers import make
from stream.sandbox.salesforce.journal import Journal
from stream.sandbox.salesforce.locks import Locks
from stream.sandbox.salesforce.options import Identity, Options
from stream.sandbox.salesforce.quota import Quota
from stream.sandbox.salesforce.store import Change, Row, Store

T = TypeVar("T")
Keep = Callable[[list[Change]], None]

_SCHEMA = "schema"


class Org:
    """One org. All of its methods are called on one event loop; between two `await`s nothing else happens."""

    def __init__(self, identity: Identity, options: Options, state: Path | None = None) -> None:
        self.identity = identity
        self.options = options
        self.journal = Journal(state / "salesforce.sqlite3" if state else None)
        kept = self.journal.noted(_SCHEMA)
        self.schema = schemas.build(msgspec.json.decode(kept)) if kept else schemas.load()
        self.store = Store(self.schema)
        self.locks = Locks()
        self.faults = Faults(time.monotonic)
        self.calls_used = Quota(time.monotonic)
        self.batches_used = Quota(time.monotonic)
        self.calls: Counter[tuple[str, int]] = Counter()
        self.rows: Counter[tuple[str, str]] = Counter()
        for entity, identifier, row, deleted in self.journal.records():
            self.store.load(entity, identifier, row, deleted)
        self.organization = make("00D", 1)
        self.user = next(iter(self.store.find("User", "Username", identity.username)), "")
        if not self.user:
            self._furnish()

    def _furnish(self) -> None:
        """What every org has from its first day: the user that logs in, and the standard price book."""
        now = self.now()
        self.user = self.store.next_id("005")
        stamp: Row = {"CreatedDate": now, "CreatedById": self.user, "LastModifiedDate": now}
        stamp |= {"LastModifiedById": self.user, "SystemModstamp": now, "IsDeleted": False}
        user: Row = {"Id": self.user, "Username": self.identity.username, "Email": self.identity.username}
        user |= {"LastName": "Integration", "Name": "Integration", "IsActive": True, "Alias": "integ"}
        self.store.put("User", self.user, user | stamp)
        book: Row = {"Id": self.store.next_id("01s"), "Name": "Standard Price Book", "IsActive": True}
        self.store.put("Pricebook2", str(book["Id"]), book | stamp | {"IsStandard": True})
        self.journal.commit(self.store.commit())

    def now(self) -> str:
        """The time that a change is stamped with."""
        return values.timestamp(datetime.now(UTC))

    async def transact(
        self,
        work: Callable[[Dml], T],
        *,
        source: values.Source = "json",
        keep: Keep | None = None,
    ) -> tuple[T, set[str]]:
        """Runs `work` as one transaction; gives its result and the locks that it took, for `locks.free`.

        Rows whose lock another request holds make it wait and begin again; once `lock_wait_seconds` have
        passed they are refused. `keep` writes the changes to the journal in place of the usual commit.
        """
        until = asyncio.get_running_loop().time() + self.options.lock_wait_seconds
        blocked: frozenset[str] = frozenset()
        while True:
            rows = self.faults.rows()
            dml = Dml(
                self.store,
                self.schema,
                now=self.now(),
                user=self.user,
                blocked=blocked,
                fault=rows.refusal,
                source=source,
            )
            try:
                result = work(dml)
            except BaseException:
                self.store.rollback()
                raise
            held = self.locks.held(dml.touched)
            if not held:
                rows.settle()
                (keep or self.journal.commit)(self.store.commit())
                self.locks.take(dml.touched)
                self.rows.update(dml.counted)
                return result, dml.touched
            self.store.rollback()
            await self.locks.wait(held, until)
            if asyncio.get_running_loop().time() >= until:
                blocked |= self.locks.held(held)

    def change_schema(self, patch: Mapping[str, Any]) -> None:
        """Adds, changes and removes objects and fields. Raises SchemaError."""
        self._describe(self.schema.patched(patch))
        self.journal.note(_SCHEMA, msgspec.json.encode(self.schema.raw))

    def reset(self) -> None:
        """Makes the org new: no records, the schema as delivered, nothing used up and no faults."""
        self.journal.clear()
        self._describe(schemas.load())
        self.store = Store(self.schema)
        self.faults.clear()
        self.calls_used.set(0)
        self.batches_used.set(0)
        self.calls.clear()
        self.rows.clear()
        self._furnish()

    def _describe(self, schema: schemas.Schema) -> None:
        self.schema = schema
        self.store.describe(schema)
