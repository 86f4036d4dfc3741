"""Who has the say over a field: Stripe always, Stripe only where nothing stands, or never Stripe."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from stream.records import Write
from stream.settings import SettingError, Settings


def check(settings: Settings) -> None:
    """Raises SettingError for a policy of a field that nothing is mapped to."""
    for object_, policies in settings.policies.items():
        known: Mapping[str, str] = settings.fields_of(object_)
        for field in policies:
            if field not in known:
                raise SettingError(
                    f"{field} under [policies.{object_}] in revstream.toml is no field that [mapping.{object_}] "
                    f"names; those are: {', '.join(known) or 'none'}. Correct or remove it."
                )


def applied(write: Write, settings: Settings) -> Write:
    """The write without the fields that are never ours, naming those that are ours only while they are empty."""
    policies = settings.policies.get(write.object)
    if not policies:
        return write
    fields = {name: value for name, value in write.fields.items() if policies.get(name) != "never"}
    # Nothing is no value to set where there is nothing.
    polite = tuple(name for name, value in fields.items() if policies.get(name) == "if-empty")
    kept = {name: value for name, value in fields.items() if name not in polite or value is not None}
    if_empty = (*write.if_empty, *(name for name in polite if name in kept))
    return msgspec.structs.replace(write, fields=kept, if_empty=if_empty)
