"""A Faust app with the settings that Revstream needs, and running it until it is told to stop or fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import faust
import mode
from aiokafka.errors import InconsistentGroupProtocolError
from faust.types import TP
from faust.types.auth import AuthProtocol

from stream.kafka.chunks import FETCH_PARTITION_BYTES, BeforeCommit, install
from stream.kafka.client import METADATA_MS, ssl_context
from stream.settings import Kafka
from stream.stage import or_end

log = logging.getLogger(__name__)


class WorkerError(Exception):
    """The Faust worker ended by itself. The message is the reason that reached it first."""


async def _nothing(offsets: Mapping[TP, int]) -> None:
    pass


def faust_app(
    name: str, kafka: Kafka, folder: Path, store: str = "memory", before_commit: BeforeCommit = _nothing
) -> faust.App:
    """An app on the chunked transport, named (and so grouped) `name`, with table files under `folder`.

    `before_commit` is awaited with the offsets that are about to be committed.

    Its web server, which shows table contents to whoever asks, is off, as are topics of Faust's own making.
    """
    app = faust.App(
        name,
        broker=[f"kafka://{broker}" for broker in kafka.brokers],
        broker_credentials=_credentials(kafka),
        store=f"{store}://",
        datadir=str(folder),
        processing_guarantee="at_least_once",
        web_enabled=False,
        web_tables_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=kafka.partitions,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=FETCH_PARTITION_BYTES,
        consumer_metadata_max_age_ms=METADATA_MS,
        producer_metadata_max_age_ms=METADATA_MS,
        broker_commit_interval=1.0,
        broker_session_timeout=kafka.session_timeout_seconds,
        broker_heartbeat_interval=kafka.session_timeout_seconds / 4,
        broker_request_timeout=max(60.0, kafka.session_timeout_seconds),
        stream_wait_empty=True,
        stream_recovery_delay=0.0,
        agent_supervisor=mode.CrashingSupervisor,
        worker_redirect_stdouts=False,
    )
    install(app, before_commit)
    return app


def _credentials(kafka: Kafka) -> faust.SASLCredentials | faust.SSLCredentials | None:
    context = ssl_context(kafka)
    if kafka.security_protocol.startswith("SASL"):
        password = kafka.sasl_password.get_secret_value() if kafka.sasl_password else ""
        credentials = faust.SASLCredentials(
            username=kafka.sasl_username or "",
            password=password,
            mechanism=kafka.sasl_mechanism,
            ssl_context=context,
        )
        credentials.protocol = AuthProtocol(kafka.security_protocol)
        return credentials
    return faust.SSLCredentials(context) if context else None


async def run(app: faust.App, stop: asyncio.Event, ready: Callable[[], None] = lambda: None) -> None:
    """Runs the app until `stop` is set; `ready` is called when tables are recovered and events flow.

    Raises WorkerError when the app fails. Nothing that was not durable is committed then, so a restart
    goes on where it stopped.
    """
    app.finalize()
    app.conf.datadir.mkdir(parents=True, exist_ok=True)  # Faust makes the last folder only
    waits: list[asyncio.Task[Any]] = []
    try:
        await app.start()
        recovered = asyncio.create_task(app.tables.recovery.completed.wait())
        waits = [asyncio.create_task(stop.wait()), asyncio.create_task(app._crashed.wait()), recovered]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if recovered.done():
            ready()
            await asyncio.wait(waits[:2], return_when=asyncio.FIRST_COMPLETED)
        if app._crashed.is_set():
            raise WorkerError(_told(app.crash_reason)) from app.crash_reason
    finally:
        for wait in waits:
            wait.cancel()
        # A crash may take Faust's consumer thread with it, and a commit then waits for it without end.
        with nullcontext() if stop.is_set() else or_end():
            await app.stop()


def _told(reason: BaseException | None) -> str:
    if isinstance(reason, InconsistentGroupProtocolError):
        return (
            "The projector is not taken into its group, which is guarded, as by a rebuild. It ends; "
            "started again, it waits."
        )
    return f"The projector stopped: {reason!r}"
