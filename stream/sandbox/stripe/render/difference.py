"""`previous_attributes`: what an update changed, as it was (docs.stripe.com/api/events/object)."""

from __future__ import annotations

from stream.sandbox.stripe.render.form import Json


def previous(before: Json, after: Json) -> Json:
    """The old values of what differs. Of a hash only the keys that differ; an array whole; a key that was not
    there before is null.

    >>> previous({"a": 1, "m": {"x": "1"}}, {"a": 1, "m": {"x": "1", "y": "2"}})
    {'m': {'y': None}}
    """
    told: Json = {}
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            told[name] = previous(old, new)
        else:
            told[name] = old
    return told
