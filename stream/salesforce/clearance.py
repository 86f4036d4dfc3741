"""What may go to Salesforce: whether anything, and how many rows of an object."""

from __future__ import annotations

import logging
from collections.abc import Callable

from stream.salesforce import budget, org
from stream.salesforce.errors import Kind, RequestError
from stream.salesforce.jobs import Jobs
from stream.salesforce.lanes import ALL, CONFIGURATION, QUOTA, Lane, Lanes
from stream.salesforce.port import Salesforce
from stream.salesforce.verdicts import Verdicts
from stream.salesforce.window import Book
from stream.settings import Settings

log = logging.getLogger(__name__)


class Clearance:
    """Asks the org and its limits, as often as what they said last has to be asked again."""

    def __init__(
        self,
        port: Salesforce,
        settings: Settings,
        lanes: Lanes,
        verdicts: Verdicts,
        book: Book,
        jobs: Jobs,
        clock: Callable[[], float],
    ) -> None:
        self._port = port
        self._settings = settings
        self._lanes = lanes
        self._verdicts = verdicts
        self._book = book
        self._jobs = jobs
        self._clock = clock
        self._unchecked = set(settings.mapping)

    def rows(self, object_: str, now: float) -> int:
        """How many rows of an object may go. A backlog waits for the object's job to end, and goes by the next."""
        backlog = self._book.waiting(object_) >= self._settings.writer.bulk_from_rows
        if backlog and self._jobs.running(object_):
            return 0
        return self._lanes.allowance(object_, now)

    async def given(self, now: float) -> bool:
        """Looks at what keeps everything or an object back, and whether that has ended."""
        if ALL in self._lanes.held:
            return False
        gate = self._lanes.due(ALL, now)
        if gate is not None and (gate.reason == QUOTA or not self._book.waiting()):
            return await self._ask_limits(gate, now)
        usage = self._port.usage
        if usage is not None and budget.spent(usage, self._settings.salesforce.budget_share):
            self._verdicts.close(ALL, QUOTA, now, f"{usage.used} of {usage.limit} are used.")
            return False
        due = {name for name in self._settings.mapping if self._lanes.due(name, now)}
        self._unchecked |= due
        await self.check_org(now)
        for object_ in due:
            if self._lanes.due(object_, now) and not self._book.waiting(object_):
                self._verdicts.open(object_)  # no rows to try it with
        return True

    async def _ask_limits(self, gate: Lane, now: float) -> bool:
        """A trial of the gate without rows: whether Salesforce answers, and how much is left."""
        try:
            usage = await self._port.limits()
        except RequestError as error:
            if error.kind is not Kind.CONFIGURATION:
                self._verdicts.refused((), error, now, ALL)
                return False
            usage = self._port.usage  # our user may not see the limits, but the answer's header tells as much
        if budget.spent(usage, self._settings.salesforce.budget_share):
            self._verdicts.close(ALL, QUOTA, now, gate.told)
            return False
        self._verdicts.passed()
        return True

    async def check_org(self, now: float) -> None:
        """Asks whether the org has what the mapping names, once, and again for a lane that is closed."""
        for object_, fields in org.needed(self._settings).items():
            if object_ not in self._unchecked or not self._lanes.allowance(object_, now):
                continue
            try:
                finding = await org.check(self._port, object_, fields)
            except RequestError as error:
                self._verdicts.refused((), error, self._clock(), object_)
                return
            self._unchecked.discard(object_)
            for warning in finding.warnings:
                log.warning("%s", warning)
            if finding.faults:
                self._verdicts.close(object_, CONFIGURATION, self._clock(), " ".join(finding.faults))
