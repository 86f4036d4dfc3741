"""The projector stage: `python -m agents`."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

from agents.app import Projector
from stream import metrics, topics
from stream.hold import holdable
from stream.internal import InternalServer
from stream.kafka import worker
from stream.kafka.guard import unguarded
from stream.kafka.lag import LagWatch
from stream.records import LIVE, REPLAYED
from stream.settings import Settings
from stream.stage import Parts, main

log = logging.getLogger("agents")

OUTCOMES = (
    ("applied", "new"),
    ("applied", "older_or_known"),
    ("applied", "catalogue"),
    ("waiting", "customer_unknown"),
    ("rerouted", "by_charge"),
    ("ignored", "no_workflow"),
    ("ignored", "guest"),
    ("dead-lettered", "undecodable"),
    ("dead-lettered", "customer_unknown"),
    ("dead-lettered", "price_unknown"),
)


class _Health:
    """Why the projector cannot work just now, and the gauges that only its start and rebalances change."""

    def __init__(self, projector: Projector) -> None:
        self._app = projector.app
        self._counted = projector.settings.projector.table_store == "memory"
        self.guarded = False
        self._recovered = False
        self._app.on_partitions_assigned.connect(self._assigned, weak=False)

    def trouble(self) -> str | None:
        if self.guarded:
            return "The group is guarded, as by a rebuild."
        if not self._recovered:
            return "The tables are being read from their changelogs."
        return "The group is rebalancing." if self._app.rebalancing else None

    def ready(self) -> None:
        self._recovered = True
        for name, table in self._app.tables.items():
            metrics.RECOVERY_REMAINING.labels(name).set(0)
            if self._counted:
                metrics.TABLE_KEYS.labels(name).set(len(table.data))
        log.info("The projector is ready.")

    async def _assigned(self, *_: Any, **__: Any) -> None:
        metrics.REBALANCES.labels("projector").inc()


async def projector(settings: Settings, stop: asyncio.Event) -> None:
    """Projects until told to stop. Raises SettingError, and WorkerError when the worker fails."""
    _prepare_metrics(settings)
    projector = Projector(settings)
    health = _Health(projector)
    async with Parts() as stack:
        server = InternalServer(
            settings.projector.metrics_listen, ("projector", "metrics_listen"), health.trouble
        )
        stack.push_async_callback(server.stop)
        await server.start()
        health.guarded = True
        if not await unguarded(settings.kafka, topics.PROJECTOR_GROUP, stop):
            return
        health.guarded = False
        stack.push_async_callback(projector.close)
        await projector.start()
        lag = LagWatch(settings.kafka)
        await lag.start()
        stack.push_async_callback(lag.stop)
        watching = asyncio.create_task(lag.run())
        stack.callback(watching.cancel)
        await worker.run(projector.app, stop, health.ready)


def _prepare_metrics(settings: Settings) -> None:
    """Every series is there with 0 before its first event, so that `rate()` sees the first one."""
    for outcome, reason in OUTCOMES:
        for phase in (LIVE, REPLAYED):
            metrics.EVENTS_PROCESSED.labels(outcome, reason, phase)
    for resolved in ("yes", "no"):
        metrics.ORDER_AMBIGUOUS.labels(resolved)
    for table in topics.TABLES:
        metrics.CHANGELOG_RECORDS.labels(table)
        metrics.RECOVERY_REMAINING.labels(table)
    for object_ in settings.mapping:
        for phase in (LIVE, REPLAYED):
            metrics.WRITES_EMITTED.labels(object_, phase)
    metrics.DEAD_LETTERS.labels("decode", "undecodable")
    for reason in ("customer_unknown", "price_unknown"):
        metrics.DEAD_LETTERS.labels("project", reason)
    metrics.REBALANCES.labels("projector")


if __name__ == "__main__":
    sys.exit(main(holdable("projector", projector)))
