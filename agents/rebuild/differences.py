"""What is asked for now beside what was asked for before. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from agents.churn import MEMBER
from stream.records import Write


class Difference(msgspec.Struct, frozen=True):
    """A record that is to be sent: as it should be, and as it was last asked for; None for a new one."""

    after: Write
    before: Write | None = None

    @property
    def fields(self) -> dict[str, tuple[Any, Any]]:
        """What differs, before and after; None for what is empty or was not asked for."""
        was, now = content(self.before), content(self.after)
        return {
            name: (was.get(name), now.get(name))
            for name in sorted(was.keys() | now.keys())
            if was.get(name) != now.get(name)
        }

    def lines(self) -> Iterable[str]:
        """For a person."""
        it = self.after
        yield f"{it.object} {it.external_id}" + ("" if self.before else " (new)")
        yield from (f"  {name}: {_text(was)} → {_text(now)}" for name, (was, now) in self.fields.items())


def content(write: Write | None) -> dict[str, Any]:
    """What a write asks Salesforce for: fields, and parents by their external IDs. Versions and events only say
    where it comes from, and a match and an owner only how a new record begins."""
    if write is None:
        return {}
    told: dict[str, Any] = dict(write.fields)
    return told | {name: parent.external_id for name, parent in write.parents.items()}


class Differences:
    """The records of one partition, each as the newest write tells it: of one version the last. `asked` are the
    newest that were asked for, by key; nothing older is put over them.

    What cannot be taken back is not begun: to close people's Opportunities and to join a Campaign waits for
    Stripe's own list of the customer's subscriptions. `departed` are the customers, by their routing keys, who
    would have had it.
    """

    def __init__(self, asked: dict[str, Write]) -> None:
        self._asked = asked
        self._told: dict[str, int] = {}
        self._before: set[str] = set()
        self.found: dict[str, Difference] = {}
        self.departed: set[str] = set()

    def compare(self, after: Iterable[Write], before: Iterable[Write] | None) -> None:
        """Takes in what follows from the new rows. `before` is what follows from the old ones; None where these are
        the same, so that only what was asked for otherwise differs."""
        known = {write.key: write for write in before or ()}
        self._before |= known.keys()
        for write in after:
            key = write.key
            if self._told.get(key, write.version) > write.version:
                continue
            self._told[key] = write.version
            self.found.pop(key, None)
            last = self._asked.get(key) or known.get(key)
            if last is None and before is None:
                continue
            if write.closing is not None and (last is None or last.closing != write.closing):
                self.departed.add(write.account)
                write = msgspec.structs.replace(write, closing=None)
            if last is None and write.object == MEMBER:
                self.departed.add(write.account)
            elif last is None or (last.version <= write.version and content(last) != content(write)):
                self.found[key] = Difference(write, last)

    @property
    def untold(self) -> list[str]:
        """Records that were asked for, and that nothing tells of any more."""
        return sorted((self._asked.keys() | self._before) - self._told.keys())


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
