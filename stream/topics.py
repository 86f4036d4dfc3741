"""Every topic that Revstream owns, and how it is kept. Faust never creates one."""

from __future__ import annotations

import msgspec

DAY_MS = 24 * 3600 * 1000

STRIPE_EVENTS = "stripe.events"
STRIPE_CATALOGUE = "stripe.catalogue"
SALESFORCE_WRITES = "salesforce.writes"
SALESFORCE_RESULTS = "salesforce.results"
NOTICES = "revstream.notices"
NOTICES_SENT = "revstream.notices.sent"
DEAD_LETTERS = "revstream.dead-letters"
CONTROL = "revstream.control"
PROGRESS = "revstream.progress"
WRITES_PROGRESS = "revstream.progress.writes"

PROJECTOR_GROUP = "revstream-projector"
WRITER_GROUP = "revstream-writer"
NOTIFIER_GROUP = "revstream-notifier"

TABLES = ("customer_mapping", "subscriptions")


def changelog(table: str) -> str:
    """The name that Faust gives a table's changelog (`<app id>-<table>-changelog`)."""
    return f"{PROJECTOR_GROUP}-{table}-changelog"


class Topic(msgspec.Struct, frozen=True):
    """A topic and its non-default settings. `partitioned` topics share one partition count, because a
    record keeps the partition of the event it comes from."""

    name: str
    config: dict[str, str]
    partitioned: bool = True


def _days(days: int) -> str:
    return str(days * DAY_MS)


# The largest Stripe event the gateway takes is 1 MiB; headers and batch framing come on top.
MAX_RECORD_BYTES = 2 * 1024 * 1024

_LARGE = {"max.message.bytes": str(MAX_RECORD_BYTES)}
_KEPT_30_DAYS = {"cleanup.policy": "delete", "retention.ms": _days(30), **_LARGE}
# Compaction never touches the active segment, so segments are closed hourly.
_COMPACT_7_DAYS = {
    "cleanup.policy": "compact,delete",
    "retention.ms": _days(7),
    "segment.ms": str(3600 * 1000),
}
# Faust recovers a table from the whole changelog: `delete` in the policy would lose state.
_COMPACT = {**_LARGE, "cleanup.policy": "compact", "segment.ms": str(3600 * 1000)}

TOPICS: tuple[Topic, ...] = (
    Topic(STRIPE_EVENTS, {**_KEPT_30_DAYS, "message.timestamp.type": "CreateTime"}),
    Topic(STRIPE_CATALOGUE, _COMPACT),
    Topic(SALESFORCE_WRITES, _COMPACT_7_DAYS),
    Topic(SALESFORCE_RESULTS, {"cleanup.policy": "delete", "retention.ms": _days(7)}),
    Topic(NOTICES, {"cleanup.policy": "delete", "retention.ms": _days(7)}),
    # As long as the events: one that is read again is not told again.
    Topic(NOTICES_SENT, {**_COMPACT_7_DAYS, "retention.ms": _days(30)}),
    Topic(DEAD_LETTERS, _KEPT_30_DAYS),
    Topic(CONTROL, _COMPACT, partitioned=False),
    Topic(PROGRESS, _COMPACT),
    Topic(WRITES_PROGRESS, _COMPACT),
    *(Topic(changelog(table), _COMPACT) for table in TABLES),
)
