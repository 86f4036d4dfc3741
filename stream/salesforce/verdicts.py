"""What an answer means for the rows it is about: settled, tried again, set aside, or the lane closed. Pure,
except that it counts what it decides and tells a person when a lane closes or opens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from stream import metrics
from stream.records import RowError
from stream.salesforce.budget import Usage
from stream.salesforce.confirmed import Confirmed, Known
from stream.salesforce.errors import Kind, RequestError, lane_fault
from stream.salesforce.lanes import ALL, AWAY, CONFIGURATION, LOGIN, QUOTA, Lanes, Pace
from stream.salesforce.planner import ALONE
from stream.salesforce.port import RowAnswer
from stream.salesforce.rows import Row
from stream.salesforce.session import LoginError
from stream.salesforce.settle import Settled, Stage, dead

log = logging.getLogger(__name__)

# With less of the day's budget used than this, REQUEST_LIMIT_EXCEEDED is about too many long calls at once.
DAILY_LIMIT_SHARE = 0.9

# So many calls in a row that Salesforce fails on (500) are an outage, not a row that breaks it.
STRIKES = 3

_REASONS = {
    AWAY: "Salesforce is away",
    LOGIN: "The login to Salesforce fails",
    QUOTA: "The org's API calls are used up",
    CONFIGURATION: "The org must be changed",
}


_HOW = {
    QUOTA: " Setup, Company Information tells the limit, and when calls are given back.",
    CONFIGURATION: " Give the org what is missing, or take it out of the mapping and restart the projector.",
}


class Verdicts:
    """Judges answers. `attempts` is the tries of a row before it is set aside."""

    def __init__(
        self, lanes: Lanes, pace: Pace, confirmed: Confirmed, attempts: int, usage: Callable[[], Usage | None]
    ) -> None:
        self._lanes = lanes
        self._pace = pace
        self._confirmed = confirmed
        self._attempts = attempts
        self._usage = usage
        self._strikes = 0
        self._passes = 0

    # Rows

    def answered(
        self, rows: Sequence[Row], answers: Sequence[RowAnswer], now: float, stage: Stage = "write"
    ) -> list[Settled]:
        """The rows that an answered call settles. The others know when they may go again."""
        self.passed()
        others_passed = any(answer.error is None for answer in answers)
        if others_passed:
            self.open(rows[0].write.object)
        alone = len(rows) == 1
        settled = [
            self._answer(row, answer, now, stage, others_passed=others_passed, alone=alone)
            for row, answer in zip(rows, answers, strict=True)
        ]
        return [one for one in settled if one is not None]

    def _answer(
        self, row: Row, answer: RowAnswer, now: float, stage: Stage, *, others_passed: bool, alone: bool
    ) -> Settled | None:
        error = answer.error
        if error is None:
            if stage == "match":
                return None  # only stamped: the upsert is still to come
            return self._confirm(row, answer)
        kind = answer.kind or Kind.ROW
        metrics.ROW_ERRORS.labels(kind.value).inc()
        if lane_fault(kind, error.code, others_passed=others_passed):
            self.close(row.write.object, CONFIGURATION, now, _said(error))
            return None
        if kind is Kind.PERMANENT:
            row.tries += 1
            return dead(row, error, stage)
        if kind is Kind.SPLIT and not alone:
            row.suspected = ALONE
            row.not_before = now + self._pace.wait("row", 1)
            metrics.RETRIES.labels(kind.value).inc()
            return None
        return self.again(row, error, now, stage, kind)

    def again(
        self, row: Row, error: RowError, now: float, stage: Stage, kind: Kind = Kind.ROW
    ) -> Settled | None:
        """One more try of a row after a wait, or its end when it has had them all."""
        row.tries += 1
        if row.tries >= self._attempts:
            return dead(row, error, stage)
        row.not_before = now + self._pace.wait("row", row.tries)
        metrics.RETRIES.labels(kind.value).inc()
        return None

    def _confirm(self, row: Row, answer: RowAnswer) -> Settled:
        id_ = answer.id or ""
        self._confirmed.put(row.write.key, Known(row.digest, id_, row.write.version))
        return Settled(row, "created" if answer.created else "updated", salesforce_id=id_)

    # Requests

    def refused(self, rows: Sequence[Row], error: RequestError, now: float, object_: str) -> list[Settled]:
        """The rows that a refused call settles: hardly ever any. Closes what must be closed. Without rows the call
        was a question, whose rows wait."""
        metrics.RETRIES.labels(error.kind.value).inc()
        if isinstance(error, LoginError):
            self.close(ALL, LOGIN, now, str(error))
        elif error.kind is Kind.QUOTA:
            usage = self._usage()
            daily = usage is None or usage.share >= DAILY_LIMIT_SHARE
            self.close(ALL, QUOTA if daily else AWAY, now, str(error))
        elif error.kind is Kind.CONFIGURATION:
            self.close(object_, CONFIGURATION, now, str(error))
        elif error.suspicious and rows:
            return self._suspect(rows, error, now)
        else:
            self.close(ALL, AWAY, now, str(error))
        return []

    def _suspect(self, rows: Sequence[Row], error: RequestError, now: float) -> list[Settled]:
        """Salesforce failed on the payload. One of the rows may be why, so they go in ever smaller calls. If call
        after call fails, no row is to blame."""
        if len(rows) == 1 and rows[0].suspected >= ALONE:
            return self._failed_alone(rows[0], error, now)
        if error.kind is not Kind.SPLIT:
            self._strikes += 1
            if self._strikes >= STRIKES:
                self.close(ALL, AWAY, now, str(error))
        for row in rows:
            row.suspected += 1
            row.not_before = now + self._pace.wait("row", row.suspected)
        return []

    def _failed_alone(self, row: Row, error: RequestError, now: float) -> list[Settled]:
        """It counts against the row only if other calls have passed since it last failed: else Salesforce may be
        failing on everything."""
        witnessed, row.witnessed = row.witnessed, self._passes
        if self._passes > witnessed or error.kind is Kind.SPLIT:
            told = self.again(row, RowError(error.code, error.message), now, "write", error.kind)
            return [told] if told else []
        row.not_before = now + self._pace.wait("row", row.suspected)
        return []

    # Lanes

    def passed(self) -> None:
        """Salesforce answered: it is there, it knows us, and there is budget."""
        self._strikes = 0
        self._passes += 1
        self.open(ALL)

    def close(self, name: str, reason: str, now: float, told: str) -> None:
        """Closes a lane or the gate, and says so once."""
        before = self._lanes.closed().get(name)
        if before is not None and before != reason:
            metrics.LANE_PAUSED.labels(name, before).set(0)
        metrics.LANE_PAUSED.labels(name, reason).set(1)
        if self._lanes.close(name, reason, now, told):
            level = logging.ERROR if reason in (CONFIGURATION, LOGIN) else logging.WARNING
            log.log(
                level,
                "%s; %s wait, and are tried again by themselves. %s%s",
                _REASONS[reason],
                "all writes" if name == ALL else f"{name} writes",
                told,
                _HOW.get(reason, ""),
            )

    def open(self, name: str) -> None:
        """Opens a lane or the gate if it is closed, and says so."""
        lane = self._lanes.open(name)
        if lane is not None:
            metrics.LANE_PAUSED.labels(name, lane.reason).set(0)
            log.info("%s writes go on.", "All" if name == ALL else name)


def _said(error: RowError) -> str:
    fields = f" ({', '.join(error.fields)})" if error.fields else ""
    return f"{error.code}: {error.message}{fields}"
