"""Customers that events are about, and events of every kind, for tests of the workflows and the projector."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from agents.events import Event, Kept, State, read, reference
from agents.touched import Touched
from stream.settings import Settings
from stream.stripe.catalogue import Entries, Entry, Lookup

SETTINGS = Settings()


def record(
    type_: str,
    object_: Mapping[str, Any],
    previous: Mapping[str, Any] | None = None,
    *,
    key: str = "cus_1",
    created: int = 100,
    id_: str | None = None,
    offset: int = 0,
) -> Kept:
    """An event as the topic holds it."""
    data: dict[str, Any] = {"object": dict(object_)}
    if previous is not None:
        data["previous_attributes"] = dict(previous)
    event_id = id_ or f"evt_{type_}_{created}_{offset}"
    body = json.dumps({"id": event_id, "object": "event", "type": type_, "created": created, "data": data})
    headers = {"id": event_id, "type": type_, "created": str(created), "received_at": "1700000000000"}
    told = tuple((name, value.encode()) for name, value in headers.items())
    return Kept("stripe.events", 0, offset, key.encode(), body.encode(), told)


def event(
    type_: str, object_: Mapping[str, Any], previous: Mapping[str, Any] | None = None, **more: Any
) -> Event:
    """An event as a workflow is given it; `more` as for `record`."""
    held = record(type_, object_, previous, **more)
    return read(reference(dict(held.headers)), held)


def touched(
    state: State,
    key: str = "cus_1",
    events: tuple[Event, ...] = (),
    entries: Mapping[str, Entry] | None = None,
    settings: Settings = SETTINGS,
    lookup: Lookup | None = None,
) -> Touched:
    """A customer that events are about. Without any, everything that follows from the state is told."""
    return Touched(key, state, events, lookup or Entries(entries or {}), settings)


def raw(shape: Any) -> dict[str, Any]:
    """A shape as JSON, where a payload is written like it."""
    told: dict[str, Any] = msgspec.to_builtins(shape)
    return told
