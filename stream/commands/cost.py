"""What Salesforce will be asked for by what a command is about to do, told before it is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from math import ceil

from stream.kafka import footprint
from stream.kafka.batches import MAX_CHUNK_RECORDS
from stream.kafka.plan import Plan
from stream.salesforce.budget import Usage
from stream.salesforce.client import Client
from stream.salesforce.describe import Describer
from stream.salesforce.errors import RequestError
from stream.salesforce.estimate import Estimate, Load, estimate
from stream.salesforce.session import Session
from stream.settings import SettingError, Settings
from stream.topics import WRITER_GROUP

# Events that a command appends at once; the projector may take each such batch of a partition by itself.
BATCH = 500


def of_load(settings: Settings, load: Load, usage: Usage | None = None) -> Estimate:
    """Of records to be written, with our settings."""
    return estimate(
        load,
        bulk_from=settings.writer.bulk_from_rows,
        concurrency=settings.salesforce.concurrency,
        share=settings.salesforce.budget_share,
        usage=usage,
    )


async def of_events(
    settings: Settings,
    customers: Collection[bytes],
    total: int,
    partitions: int,
    chosen: Collection[str] | None = None,
) -> Estimate:
    """Of so many events of these customers that are appended in batches; `chosen` are their IDs when a customer has
    others that are left out. Raises KafkaError, OffsetsError, as does the other."""
    chunks = min(total, partitions * ceil(total / BATCH))
    load = await footprint.load(settings, customers, chosen=chosen, events=total, seen=total, chunks=chunks)
    return of_load(settings, load)


async def of_plan(
    settings: Settings, plan: Plan, keys: Collection[bytes], looked: int, since: int | None
) -> Estimate:
    """Of what is read again; keys are those of the records that were looked at, of the time `since` (epoch
    milliseconds) or later."""
    if plan.group == WRITER_GROUP:
        share = plan.again / max(1, looked)
        objects = Counter(key.decode(errors="replace").partition(":")[0] for key in keys)
        load = Load({object_: ceil(count * share) for object_, count in objects.items()})
    else:
        chunks = sum(ceil(max(0, move.again) / MAX_CHUNK_RECORDS) for move in plan.moves)
        load = await footprint.load(settings, keys, since, events=plan.again, seen=looked, chunks=chunks)
    return of_load(settings, load, await _usage(settings))


async def _usage(settings: Settings) -> Usage | None:
    """Today's budget, if Salesforce is set up and answers: a plan can be made without it."""
    if not settings.salesforce.login_url:
        return None
    try:
        async with Session(settings.salesforce) as session:
            return await Client(session, Describer(settings.salesforce, session)).limits()
    except (RequestError, SettingError):
        return None
