"""When too much happens, it is told in one message. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from stream.notify.port import Item, Parcel

MINUTE = 60.0


class Minute:
    """How many messages may still go out in the minute that began with the first of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._began = float("-inf")
        self._sent = 0

    def room(self, now: float) -> int:
        """Messages that may go out now. `now` is in seconds, on any clock that does not go back."""
        return self._most - self._sent if now < self._began + MINUTE else self._most

    def left(self, now: float) -> float:
        """Seconds until there is room for certain."""
        return max(0.0, self._began + MINUTE - now)

    def spend(self, now: float) -> None:
        """Notes that a message goes out."""
        if now >= self._began + MINUTE:
            self._began, self._sent = now, 0
        self._sent += 1


def pack(waiting: Sequence[Parcel], room: int) -> list[Parcel]:
    """What waits on a channel as the messages to send: each by itself while there is room for all of them, else one
    for each address. In the order in which they came; nothing when there is no room at all."""
    if room <= 0:
        return []
    if len(waiting) <= room:
        return list(waiting)
    by_address: dict[tuple[str, ...], list[Item]] = {}
    for parcel in waiting:
        by_address.setdefault(parcel.address, []).extend(parcel.items)
    return [Parcel(waiting[0].channel, address, tuple(items)) for address, items in by_address.items()]
