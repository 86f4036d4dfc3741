"""Pages of a list: docs.stripe.com/api/pagination."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import eq, ge, gt, le, lt
from typing import Protocol, TypeVar

LARGEST, USUAL = 100, 10

_BOUNDS: dict[str, Callable[[int, int], bool]] = {
    "created": eq,
    "created[gt]": gt,
    "created[gte]": ge,
    "created[lt]": lt,
    "created[lte]": le,
}


class Listed(Protocol):
    """What can be listed."""

    @property
    def id(self) -> str: ...
    @property
    def created(self) -> int: ...


L = TypeVar("L", bound=Listed)


class BadParameter(ValueError):
    """A parameter that Stripe would refuse, in its words."""

    def __init__(self, message: str, param: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


def page(
    everything: Sequence[L], query: Mapping[str, str], fits: Callable[[L], bool]
) -> tuple[list[L], bool]:
    """One page of what fits, newest first, and whether there is more in the direction of reading.

    `everything` is oldest first; a cursor may be any of it, also one that does not fit. `starting_after` reads
    towards the older ones, `ending_before` towards the newer: its page is what lies right before the cursor,
    still newest first. Raises BadParameter.
    """
    limit = _whole(query.get("limit", str(USUAL)), "limit")
    if not 1 <= limit <= LARGEST:
        raise BadParameter(f"Invalid integer: {limit}. It must be between 1 and {LARGEST}.", "limit")
    if "starting_after" in query and "ending_before" in query:
        raise BadParameter("You can only pass one of starting_after and ending_before.", "ending_before")
    read = list(reversed(everything))
    if "ending_before" in query:
        read = read[: _place(read, query["ending_before"], "ending_before")]
    elif "starting_after" in query:
        read = read[_place(read, query["starting_after"], "starting_after") + 1 :]
    within = _seconds(query)
    read = [it for it in read if within(it.created) and fits(it)]
    return (read[-limit:] if "ending_before" in query else read[:limit]), len(read) > limit


def _seconds(query: Mapping[str, str]) -> Callable[[int], bool]:
    """Whether a time fits `created[gte]` and the like, or `created` itself. Raises BadParameter."""
    bounds = [(holds, _whole(query[name], name)) for name, holds in _BOUNDS.items() if name in query]
    return lambda created: all(holds(created, bound) for holds, bound in bounds)


def _place(listed: Sequence[L], id_: str, param: str) -> int:
    for place, it in enumerate(listed):
        if it.id == id_:
            return place
    raise BadParameter(f"No such object: '{id_}'", param, code="resource_missing")


def _whole(text: str, param: str) -> int:
    if not text.isdecimal() or len(text) > 12:
        raise BadParameter(f"Invalid integer: {text[:40]}", param, code="parameter_invalid_integer")
    return int(text)
