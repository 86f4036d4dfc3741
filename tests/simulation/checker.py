"""What has to hold at the end of a run, whatever went wrong in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agents.events import family
from agents.projector import CATALOGUE
from stream import topics
from stream.notify.port import Item
from stream.records import REPLAY, EventRef, decode_notice, decode_result, decode_write
from stream.sandbox import expected
from stream.sandbox.expected import money, notices
from stream.sandbox.expected.customers import KEY
from stream.sandbox.expected.opportunities import two_decimals
from stream.sandbox.stripe.book import StripeEvent
from tests.simulation.notifier import words

if TYPE_CHECKING:
    from tests.simulation.run import Run


def check(run: Run) -> list[str]:
    """All that is wrong, for a person to read."""
    return [*_of_records(run), *_of_events(run), *_of_writes(run), *_of_processes(run), *_of_notices(run)]


def _of_records(run: Run) -> Iterator[str]:
    """Salesforce holds what the simulator's truth says, and nothing else."""
    for name, wanted in expected.records(run.world).items():
        if name == "CampaignMember":
            continue  # nobody is won back without a Campaign
        told = {key: it for key, it in wanted.items() if name != "Opportunity" or "Stripe_Movement__c" in it}
        field = KEY if name in ("Account", "Contact") else expected.STRIPE_ID
        rows = [_kept(row) for row in run.salesforce.records.get(name, {}).values() if row.get(field)]
        _, differing = expected.compare(told, expected.key_all(name, rows), run.kept.get(name, {}))
        yield from (f"{name} {line}" for line in differing)


def _kept(row: dict[str, Any]) -> dict[str, Any]:
    """A record as an org keeps it: the fake one does not round."""
    return {**row, "Amount": two_decimals(row["Amount"])} if row.get("Amount") is not None else row


def _of_events(run: Run) -> Iterator[str]:
    """Every accepted event is accounted for: some record that it asked for has an outcome, or there is a reason why
    it asks for none. Events that were worked on are counted in the metric, each time once."""
    outcomes: dict[str, str] = {}
    for record in run.all(topics.SALESFORCE_RESULTS):
        result = decode_result(record.value or b"")
        for ref in result.events:
            if outcomes.get(ref.id, "superseded") == "superseded":
                outcomes[ref.id] = result.outcome
    for record in run.all(topics.DEAD_LETTERS):
        yield f"a dead letter: {dict(record.headers).get('revstream.errors.message', b'').decode()}"
    for event in run.world.events:
        if event.id not in outcomes and _why_ignored(run, event) is None:
            yield f"{event.type} {event.id} is not accounted for"
    done = sum(one.done for one in run.ever_projectors)
    begun = sum(one.begun for one in run.ever_projectors)
    if (
        not done <= run.counted() <= begun
    ):  # one that was killed may have come to the end of a part of its chunk
        yield f"{done} to {begun} events were worked on, and {run.counted():.0f} are counted"


def _why_ignored(run: Run, event: StripeEvent) -> str | None:
    """Why no record follows from an event; None when one has to."""
    if event.type.partition(".")[0] in CATALOGUE:
        return "catalogue"
    if family(event.type) is None:
        return "no_workflow"
    if event.type.rpartition(".")[0] in ("customer", "customer.subscription"):
        return None
    return None if money.concerns(event, run.world) else "nobody's money"


def _of_writes(run: Run) -> Iterator[str]:
    """Every write has a result of its own, or several when it was read again."""
    results: Counter[tuple[str, int, tuple[EventRef, ...]]] = Counter()
    for record in run.all(topics.SALESFORCE_RESULTS):
        result = decode_result(record.value or b"")
        results[result.key, result.version, result.events] += 1
    for record in run.all(topics.SALESFORCE_WRITES):
        write = decode_write(record.value or b"")
        this = (write.key, write.version, write.events)
        results[this] -= 1
        if results[this] < 0:
            yield f"{write.key} of {write.version} (offset {record.offset}) has no result"


def _of_processes(run: Run) -> Iterator[str]:
    """Nothing failed but what was made to, and no writer sent an older record after a newer one."""
    yield from run.crashes
    for writer in run.ever_writers:
        yield from (f"{writer.process.name} sent {told}" for told in writer.stale)


def _of_notices(run: Run) -> Iterator[str]:
    """What is told is what the simulator's truth says, each thing once; a replay mutes nothing that is new. What
    nobody was told of was refused by the channel, or a process ended between its mark and the sending."""
    first: dict[str, Item] = {}
    for record in run.all(topics.NOTICES):
        notice = decode_notice(record.value or b"")
        if REPLAY not in record.headers:
            first.setdefault(notice.id, Item(notice, record.partition, record.offset))
        elif notice.id not in first:
            yield f"notice {notice.id} is muted and was not told before"
    told = Counter(run.people.heard)
    marked = {(record.key or b"").decode().rpartition(":")[0] for record in run.all(topics.NOTICES_SENT)}
    ended = any(not one.process.alive for one in run.ever_notifiers)
    for id_ in first:
        if told[id_] > 1:
            yield f"notice {id_} is told {told[id_]} times"
        if not told[id_] and not (id_ in marked and (ended or id_ in run.people.refused)):
            yield f"notice {id_} is not told"
    missing, more = notices.compare(notices.notices(run.world), [words(item) for item in first.values()])
    yield from (f"there is no notice of {notice}" for notice in missing)
    yield from (f"a notice {line}" for line in more)
