"""Which Salesforce records customers have, as `salesforce.writes` tells: those are written again in a replay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from math import ceil

import msgspec

from stream.kafka.scan import ranges, scan
from stream.records import decode_write
from stream.salesforce.estimate import Load
from stream.settings import Settings
from stream.topics import SALESFORCE_WRITES

# The most writes to read: some 10 s. The latest tell enough of the average customer.
SAMPLE = 200_000


async def load(
    settings: Settings,
    customers: Collection[bytes],
    since: int | None = None,
    chosen: Collection[str] | None = None,
    *,
    events: int,
    seen: int,
    chunks: int,
) -> Load:
    """What a replay of `events` events will write, of which `seen` were looked at: they are of these customers and
    of the time `since` (epoch milliseconds) or later, and the projector reads them in so many chunks at most.

    A record counts when its latest write came of an event since then; when events are `chosen` by their IDs, when
    any of its writes came of one of them. Writes are kept for 7 days: a customer
    without any is taken for an average one, and where no customer has one, for one with a record of each object.
    Raises KafkaError, OffsetsError.
    """
    names = {key.decode(errors="replace") for key in customers}
    latest: dict[str, tuple[str, int | None, bool]] = {}
    named = set()
    held = await ranges(settings.kafka, SALESFORCE_WRITES)
    each = SAMPLE // max(1, len(held))
    tails = {partition: (max(first, end - each), end) for partition, (first, end) in held.items()}
    async for record in scan(settings.kafka, SALESFORCE_WRITES, tails):
        try:
            write = decode_write(record.value or b"")
        except msgspec.DecodeError:
            continue
        if write.account in names:
            newest = max((event.received_at for event in write.events), default=None)
            asked = bool(write.owner or write.if_empty or write.closing)
            latest[write.key] = (write.account, newest, asked)
            if chosen is not None and any(event.id in chosen for event in write.events):
                named.add(write.key)
    if chosen is not None:
        latest = {key: latest[key] for key in named}
    rows: Counter[str] = Counter()
    looked_up = set()
    for key, (_, newest, asked) in latest.items():
        if since is None or newest is None or newest >= since:
            object_ = key.partition(":")[0]
            rows[object_] += 1
            if asked:
                looked_up.add(object_)
    known = len({account for account, _, _ in latest.values()})
    share = events / max(1, seen) * (len(names) / known if known else 1)
    if not rows:
        rows = Counter(dict.fromkeys(settings.mapping, len(names)))
    return Load(
        {object_: ceil(count * share) for object_, count in rows.items()},
        frozenset(looked_up),
        windows=max(1, chunks),
        again=max(1.0, min(chunks, events / max(1, len(names) * share))),
    )
