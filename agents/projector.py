"""From a chunk of events to what is to be remembered and what Salesforce should hold. Pure.

The chunk is all fetched records of one partition. `fold_chunk` folds the events one by one; `settle` parts those
of customers who are not known yet from those that can be worked on; then, once per customer, `emit` has the
workflows say what its records should now be. So a customer with many events in a chunk costs one changelog
record per table and one write per record, and a replayed event emits the current record again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence

import msgspec

from agents import churn, customers, disputes, failed_payments, invoices, opportunities, payments, policies
from agents.events import (
    CUSTOMER,
    FAMILIES,
    MONEY,
    SUBSCRIPTION,
    Event,
    Record,
    State,
    Undecodable,
    family,
    fold,
    keep,
    kept,
    read,
    read_discount,
    reference,
)
from agents.pricing import Unknown, Unpriceable
from agents.strays import is_stray
from agents.touched import Refusal, Touched, Wanted, Workflow
from stream.records import Notice, RowError, Write
from stream.settings import Settings
from stream.stripe import catalogue
from stream.stripe.catalogue import Lookup
from stream.stripe.shapes import Discount

# In the order in which their records depend on each other.
WORKFLOWS: tuple[Workflow, ...] = (
    Workflow(frozenset(FAMILIES), customers.project),
    Workflow(frozenset({SUBSCRIPTION}), opportunities.project),
    Workflow(frozenset(MONEY), payments.project),
    Workflow(invoices.FAMILIES, invoices.project),
    Workflow(failed_payments.FAMILIES, failed_payments.project),
    Workflow(disputes.FAMILIES, disputes.project),
    Workflow(churn.FAMILIES, churn.project),
)

# Event types that begin with these are about what is sold, not about a customer.
CATALOGUE = frozenset({"price", "product", "coupon"})

# These tell a discount in full. A subscription names its discounts by ID, and of one that is over Stripe may tell
# no more.
DISCOUNT = "customer.discount"

# A customer that Stripe tells nothing of keeps so many events; with more of them, something else is wrong.
MAX_WAITING = 200


class Refused(msgspec.Struct, frozen=True):
    """A record that is set aside: the original, the stage that refused it (`decode`, `project`), and why."""

    record: Record
    error: RowError
    stage: str = "decode"


class Folded(msgspec.Struct):
    """What a chunk came to. `outcomes` counts events by (outcome, reason), the labels of the metric.

    `strays` are events that lie under no customer; `discounts` are those that events told of, by catalogue key;
    `renewed` are the IDs of prices, products and coupons that changed, by account. `counted` says as what a
    folded record, by offset, stands in `outcomes` as applied.
    """

    states: dict[bytes, State] = {}
    touched: dict[bytes, list[Event]] = {}
    strays: list[Event] = []
    discounts: dict[str, Discount] = {}
    renewed: dict[str | None, set[str]] = {}
    refused: list[Refused] = []
    outcomes: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    counted: dict[int, str] = {}

    @property
    def ambiguous(self) -> list[bytes]:
        """The customers whose newest state only a fetch can tell."""
        return [
            key
            for key, state in self.states.items()
            if state.mapping.customer is not None and state.mapping.customer.ambiguous
        ]

    @property
    def half_told(self) -> list[tuple[bytes, str]]:
        """The subscriptions, with their customers, of which a fetch tells more than the chunk's events do: which
        state of one second is the newest, or more than the first items."""
        found = {
            (key, event.object.id): self.states[key].subscriptions.by_id[event.object.id]
            for key, events in self.touched.items()
            for event in events
            if event.family == SUBSCRIPTION
        }
        return [one for one, held in found.items() if held.ambiguous or held.newest.body.more_items]

    @property
    def leaving(self) -> list[bytes]:
        """The customers who have left, as far as the events of the chunk tell."""
        return [
            key
            for key, events in self.touched.items()
            if any(event.family == SUBSCRIPTION for event in events)
            and churn.departed(self.states[key]) is not None
        ]

    @property
    def strangers(self) -> list[bytes]:
        """The customers that events are about and that no event has told of yet."""
        return [key for key in self.touched if self.states[key].mapping.customer is None]

    def refuse(self, event: Event, code: str, message: str) -> None:
        """Sets an event aside that can be read, but not worked on."""
        self.refused.append(Refused(event.record, RowError(code, message), "project"))
        self.recount(event, "dead-lettered", code)

    def recount(self, event: Event, outcome: str, reason: str) -> None:
        """Counts an event as something else than applied."""
        if was := self.counted.pop(event.record.offset, None):
            self.outcomes["applied", was] -= 1
        self.outcomes[outcome, reason] += 1


class Emitted(msgspec.Struct):
    """What Salesforce should hold and people should be told, of all customers that are done with."""

    writes: list[Write] = []
    notices: list[Notice] = []


def fold_chunk(records: Sequence[Record], load: Callable[[bytes], State]) -> Folded:
    """Folds the records in order. `load` gives what is remembered of a customer so far."""
    folded = Folded()
    for record in records:
        try:
            if record.key is None or record.value is None:
                raise Undecodable("The record has no key or no value.")
            ref = reference(dict(record.headers))
            if ref.type.partition(".")[0] in CATALOGUE:
                account, _, id_ = record.key.decode().rpartition("/")
                folded.renewed.setdefault(account or None, set()).add(id_)
                folded.outcomes["applied", "catalogue"] += 1
                continue
            if ref.type.rpartition(".")[0] == DISCOUNT:
                discount = read_discount(record)
                if discount.id and discount.coupon:
                    account = record.key.decode().rpartition("/")[0]
                    folded.discounts[catalogue.key(discount.id, account or None)] = discount
                folded.outcomes["applied", "catalogue"] += 1
                continue
            if family(ref.type) is None:
                folded.outcomes["ignored", "no_workflow"] += 1
                continue
            event = read(ref, record)
        except Undecodable as error:
            folded.refused.append(Refused(record, RowError("undecodable", str(error))))
            folded.outcomes["dead-lettered", "undecodable"] += 1
            continue
        if is_stray(event):
            folded.strays.append(event)
            continue
        known = folded.states.get(record.key) or load(record.key)
        state = fold(known, event)
        reason = "older_or_known" if state is known else "new"
        folded.outcomes["applied", reason] += 1
        folded.counted[record.offset] = reason
        folded.states[record.key] = state
        folded.touched.setdefault(record.key, []).append(event)
    return folded


def settle(folded: Folded, topic: str, partition: int) -> None:
    """Has the events of customers still unknown wait in their rows, and takes those of known ones out again."""
    for key, state in list(folded.states.items()):
        waiting = state.mapping.waiting
        if state.mapping.customer is None:
            known = {one.event_id for one in waiting}
            for event in folded.touched.pop(key, ()):
                if event.ref.id in known:
                    continue
                if len(waiting) >= MAX_WAITING:
                    folded.refuse(
                        event,
                        "customer_unknown",
                        f"No event has told of customer {key.decode()} yet, and {MAX_WAITING} wait for it. Set "
                        "STRIPE_API_KEY so that it can be fetched, and send this one again.",
                    )
                    continue
                waiting = (*waiting, keep(event))
                known.add(event.ref.id)
                folded.recount(event, "waiting", "customer_unknown")
        elif waiting:
            before = [kept(one, topic, partition, key) for one in waiting]
            folded.touched[key] = [*before, *folded.touched.get(key, ())]
            waiting = ()
        if waiting is not state.mapping.waiting:
            mapping = msgspec.structs.replace(state.mapping, waiting=waiting)
            folded.states[key] = msgspec.structs.replace(state, mapping=mapping)


def emit(
    folded: Folded,
    keys: Collection[bytes],
    lookup: Callable[[str], Lookup],
    settings: Settings,
    emitted: Emitted,
) -> dict[bytes, Unknown]:
    """The current records of customers that events of the chunk are about, changed or not, into `emitted`.

    Of customers whom no event is about everything that follows from their state is told. `lookup` gives the
    catalogue for a routing key. The answer is what has to be fetched first, by the customers
    who are not done with therefore and are to be asked for again.
    """
    wanted = {}
    for key in keys:
        name = key.decode()
        touched = Touched(name, folded.states[key], tuple(folded.touched[key]), lookup(name), settings)
        try:
            told, refused = _project(touched)
        except Wanted as want:
            wanted[key] = want.unknown
            continue
        for refusal in refused:
            folded.refuse(refusal.event, refusal.code, refusal.message)
        emitted.writes += (one for one in told if isinstance(one, Write))
        emitted.notices += (one for one in told if isinstance(one, Notice))
    return wanted


def _project(touched: Touched) -> tuple[list[Write | Notice], list[Refusal]]:
    told: list[Write | Notice] = []
    refused: list[Refusal] = []
    for workflow in WORKFLOWS:
        concerned = touched.about(*workflow.families)
        if touched.events and not concerned:
            continue
        try:
            for one in workflow.project(touched):
                if isinstance(one, Refusal):
                    refused.append(one)
                else:
                    told.append(policies.applied(one, touched.settings) if isinstance(one, Write) else one)
        except Unpriceable as error:
            why = str(error)
            refused += (
                Refusal(event, "price_unknown", why) for event in concerned if event.family != CUSTOMER
            )
    return told, refused
