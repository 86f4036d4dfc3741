"""An org in memory, without HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stream.sandbox.salesforce import schema as schemas
from stream.sandbox.salesforce.dml import Dml
from stream.sandbox.salesforce.identifiers import make
from stream.sandbox.salesforce.schema import Schema
from stream.sandbox.salesforce.store import Store

NOW = "2026-11-24T12:00:00.000+0000"
USER = make("005", 1)

Insert = Callable[..., str]


@pytest.fixture
def schema() -> Schema:
    """The org as delivered, and on it a number and a restricted picklist."""
    return schemas.load().patched(
        {
            "Account": {
                "fields": {
                    "Seats__c": {"type": "int", "precision": 4},
                    "Tier__c": {"type": "picklist", "restricted": True, "values": ["Basic", "Pro"]},
                    "Old_Id__c": {"type": "string", "external_id": True},
                }
            }
        }
    )


@pytest.fixture
def store(schema: Schema) -> Store:
    """Its records: the user who does everything."""
    store = Store(schema)
    assert store.next_id("005") == USER
    store.put("User", USER, {"Id": USER, "LastName": "Integration", "IsActive": True})
    store.commit()
    return store


@pytest.fixture
def dml(store: Store, schema: Schema) -> Dml:
    """A request from JSON."""
    return Dml(store, schema, now=NOW, user=USER)


@pytest.fixture
def insert(dml: Dml, schema: Schema) -> Insert:
    """Inserts a record; gives its ID."""

    def one(name: str, **given: Any) -> str:
        return dml.insert(schema.entities[name], given).identifier

    return one
