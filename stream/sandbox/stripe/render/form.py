"""The form that Stripe's JSON has: versions, lists, the order of keys."""

from __future__ import annotations

from typing import Any

import msgspec

Json = dict[str, Any]

# The first day of each API version from which something moved (docs.stripe.com/changelog). A version's name
# begins with its day, so that `version >= BASIL` says whether it is that or a later one.
Y2022_08 = "2022-08-01"
Y2022_11 = "2022-11-15"
BASIL = "2025-03-31"
CLOVER = "2025-09-30"
DAHLIA = "2026-03-25"
ENDIVE = "2026-09-30"


class Form(msgspec.Struct, frozen=True, gc=False):
    """In which API version something is rendered, and in which mode it lives."""

    version: str
    livemode: bool = False


def named(object_: str, id_: str, fields: Json) -> Json:
    """An API object as Stripe orders it: `id`, `object`, then the rest by name. No `id` when it is empty."""
    head: Json = {"id": id_, "object": object_} if id_ else {"object": object_}
    return head | {name: fields[name] for name in sorted(fields)}


def listed(data: list[Json], url: str, *, more: bool = False, counted: bool = True) -> Json:
    """A list object; those inside of other objects bear their count."""
    count = {"total_count": len(data)} if counted else {}
    return {"object": "list", "data": data, "has_more": more, **count, "url": url}
