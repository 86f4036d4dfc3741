"""What is to go wrong, and when. docs/reference/sandbox.md lists the faults with examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Literal

import msgspec

from stream.sandbox.salesforce.errors import RowError
from stream.sandbox.salesforce.store import Row

Kind = Literal[
    "answer", "drop", "drop-after", "delay", "expire-tokens", "refuse-rows", "fail-job", "use-quota"
]


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fault. `times` is how often it happens (null: until removed), `skip` how many matching calls or rows
    go well before, `for_seconds` when it ends by itself. The other fields say what it matches and does."""

    do: Kind
    times: int | None = 1
    skip: int = 0
    for_seconds: float | None = None
    operation: str | None = None
    object: str | None = None
    method: str | None = None
    path: str | None = None
    external_ids: tuple[str, ...] = ()
    status: int = 500
    code: str = "UNKNOWN_EXCEPTION"
    message: str = "An unexpected error occurred. Please include this ErrorId if you contact support."
    fields: tuple[str, ...] = ()
    seconds: float = 0
    rows: int = 0
    used: int = 0

    def matches(self, *, operation: str, object_: str | None, method: str, path: str) -> bool:
        """Whether it is about this call. A login has no token that could expire."""
        if self.do == "expire-tokens" and operation == "login":
            return False
        return (
            self.operation in (None, operation)
            and (self.object is None or self.object == object_)
            and (self.method is None or self.method.upper() == method)
            and (self.path is None or self.path in path)
        )


class _Armed:
    """A fault that waits for its call."""

    def __init__(self, fault: Fault, until: float | None) -> None:
        self.fault = fault
        self.until = until
        self.skip = fault.skip
        self.left = fault.times

    def happens(self) -> bool:
        """Counts one match; whether the fault happens now."""
        if self.skip:
            self.skip -= 1
            return False
        if self.left is not None:
            self.left -= 1
        return True


class Faults:
    """All faults that are armed, oldest first. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._armed: list[_Armed] = []

    def arm(self, fault: Fault) -> None:
        """Adds a fault."""
        until = None if fault.for_seconds is None else self._clock() + fault.for_seconds
        self._armed.append(_Armed(fault, until))

    def clear(self) -> None:
        """Removes all faults."""
        self._armed.clear()

    def waiting(self) -> list[Fault]:
        """What may still happen, with the times that are left."""
        return [
            msgspec.structs.replace(armed.fault, times=armed.left, skip=armed.skip) for armed in self._live()
        ]

    def of_call(self, *, operation: str, object_: str | None, method: str, path: str) -> list[Fault]:
        """What happens to this call: at most one fault of each kind, the oldest first."""
        found: dict[str, Fault] = {}
        for armed in self._live():
            fault = armed.fault
            about = fault.do not in ("refuse-rows", "fail-job") and fault.do not in found
            matches = about and fault.matches(operation=operation, object_=object_, method=method, path=path)
            if matches and armed.happens():
                found[fault.do] = fault
        return list(found.values())

    def of_job(self, object_: str, operation: str) -> Fault | None:
        """The fault that lets this Bulk job fail."""
        for armed in self._live():
            fault = armed.fault
            about = fault.do == "fail-job" and fault.matches(
                operation=operation, object_=object_, method=fault.method or "", path=fault.path or ""
            )
            if about and armed.happens():
                return fault
        return None

    def rows(self) -> RowFaults:
        """The faults of rows, for one attempt at one request."""
        return RowFaults([armed for armed in self._live() if armed.fault.do == "refuse-rows"])

    def _live(self) -> list[_Armed]:
        now = self._clock()
        self._armed = [
            armed for armed in self._armed if armed.left != 0 and (armed.until is None or now < armed.until)
        ]
        return self._armed


class RowFaults:
    """Refuses rows on demand. An attempt that is rolled back has used up nothing: `settle` counts."""

    def __init__(self, armed: list[_Armed]) -> None:
        self._armed = armed
        self._met: Counter[_Armed] = Counter()

    def refusal(self, entity: str, row: Row) -> RowError | None:
        """The error for this row; None lets it through. An external ID matches in any field of the row."""
        for armed in self._armed:
            fault = armed.fault
            if fault.object not in (None, entity):
                continue
            if fault.external_ids and not any(value in fault.external_ids for value in row.values()):
                continue
            self._met[armed] += 1
            number = self._met[armed] - armed.skip
            if number > 0 and (armed.left is None or number <= armed.left):
                return RowError(fault.code, fault.message, *fault.fields)
        return None

    def settle(self) -> None:
        """Counts what was met, once the request stands."""
        for armed, count in self._met.items():
            for _ in range(count):
                if armed.left != 0:
                    armed.happens()
        self._met.clear()
