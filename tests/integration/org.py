"""What people have put into the local Salesforce."""

from __future__ import annotations

from typing import Any

from stream.sandbox.salesforce import LocalSalesforce


async def seeded(sandbox: LocalSalesforce, object_: str, **fields: Any) -> str:
    """A new record's ID."""
    entity = sandbox.org.schema.entities[object_]
    made, locked = await sandbox.org.transact(lambda dml: str(dml.insert(entity, fields).identifier))
    sandbox.org.locks.free(locked)
    return str(made)
