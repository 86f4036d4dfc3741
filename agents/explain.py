"""`revstream explain`: what one event tells, what it is worth, and the records that would come of it.

Nothing is read but the file and, where a price is not told in the event, Stripe's API; nothing is written. What
only other events tell (the customer's name, its other subscriptions) is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from agents import churn, mapping, policies, projector, subscriptions
from agents.events import CUSTOMER, SUBSCRIPTION, Event, Kept, State, Undecodable, family, read, reference
from agents.movements import Movement, movement
from agents.pricing import Mrr, Unpriceable
from agents.projector import CATALOGUE, Emitted
from agents.stock import Stock, account_of
from agents.touched import Touched, Wanted
from agents.worth import worth
from stream.records import Write
from stream.settings import SettingError, Settings, load
from stream.stripe import envelope, routing
from stream.stripe.api import Away, StripeApi
from stream.stripe.shapes import Customer
from tables.customer_mapping import CustomerMapping
from tables.versions import Rank, Telling, Versioned

FAILED, MISCONFIGURED = 1, 2


class Explained(msgspec.Struct, frozen=True):
    """What is told of one event. `why` says why no record comes of it, or why some do not."""

    event: str
    type: str
    customer: str
    movement: Movement | None = None
    records: tuple[Write, ...] = ()
    why: tuple[str, ...] = ()


class Unexplained(Exception):
    """The file holds no event that can be read. The message says what is wrong with it."""


async def explain(body: bytes, settings: Settings) -> Explained:
    """Explains one event. Raises Unexplained, and Away when Stripe does not answer for a price."""
    record = _record(body)
    ref = reference(dict(record.headers))
    key = (record.key or b"").decode()
    if ref.type.partition(".")[0] in CATALOGUE:
        why = "It is about what is sold: what is held of it is fetched again, and whom it is about is told anew."
        return Explained(ref.id, ref.type, key, why=(why,))
    if family(ref.type) is None:
        return Explained(ref.id, ref.type, key, why=("No workflow is about events of this type.",))
    try:
        event = read(ref, record)
    except Undecodable as error:
        raise Unexplained(str(error)) from None
    alone = settings if event.family == CUSTOMER else _alone(settings, event.family)
    folded = projector.fold_chunk([record], lambda key: _known(key.decode(), event))
    for stray in folded.strays:
        why = (
            f"It names no customer: whose {stray.object.id} is is asked of Stripe, and it is worked on there."
        )
        return Explained(ref.id, ref.type, key, why=(why,))
    stripe = StripeApi(settings.stripe)
    stock = Stock(stripe)
    try:
        emitted = Emitted()
        keys = list(folded.touched)
        while keys:
            wanted = projector.emit(folded, keys, stock.lookup, alone, emitted)
            for owner, unknown in wanted.items():
                await stock.fetch(unknown, account_of(owner.decode()))
            keys = list(wanted)
        moved = await _moved(event, folded.states[key.encode()], stock, settings)
    finally:
        await stripe.close()
    refused = tuple(one.error.message for one in folded.refused)
    return Explained(ref.id, ref.type, key, moved, tuple(emitted.writes), refused)


async def _moved(event: Event, state: State, stock: Stock, settings: Settings) -> Movement | None:
    key = (event.record.key or b"").decode()
    touched = Touched(key, state, (event,), stock.lookup(key), settings)
    while True:
        try:
            return movement(event, lambda it, at: worth(touched, it, at))
        except Wanted as wanted:
            await stock.fetch(wanted.unknown, account_of(key))
        except Unpriceable:
            return None


def _record(body: bytes) -> Kept:
    """The event as the gateway would put it on the topic."""
    try:
        told = envelope.read(body)
    except envelope.EnvelopeError as error:
        raise Unexplained(str(error)) from None
    headers = {"id": told.id, "type": told.type, "created": str(told.created)}
    headers["received_at"] = str(int(time.time() * 1000))
    sent = tuple((name, value.encode()) for name, value in headers.items())
    return Kept("stripe.events", 0, 0, routing.key(told).encode(), body, sent)


def _known(key: str, event: Event) -> State:
    """What is remembered before: nothing, or nothing but that there is the customer."""
    if event.family == CUSTOMER:
        return State()
    customer = Customer(key.rpartition("/")[2])
    told = Versioned(0, (Telling("", Rank.CREATED, customer),))
    return State(CustomerMapping(customer=told))


def _alone(settings: Settings, of: str) -> Settings:
    """Settings by which an Account says only what an event of this family can tell."""
    of_subscriptions = {*subscriptions.SOURCES, *churn.SOURCES}
    told = {
        field: source
        for field, source in settings.fields_of("Account").items()
        if source in mapping.ACCOUNT and (source in of_subscriptions) == (of == SUBSCRIPTION)
    }
    return settings.model_copy(update={"mapping": {**settings.mapping, "Account": told, "Contact": {}}})


# As text and as JSON


def lines(it: Explained) -> Iterable[str]:
    """For a person."""
    yield f"{it.type} {it.event} of {it.customer}"
    if moved := it.movement:
        change = "" if moved.change == "none" else f" ({moved.change})"
        yield f"\n{moved.kind.replace('_', ' ')}{change}{', a new period' if moved.renewed else ''}"
        yield from _arithmetic("before", moved.before)
        yield from _arithmetic("after", moved.after)
    for why in it.why:
        yield f"\n{why}"
    for write in it.records:
        if write.fields:
            yield f"\n{write.object} {write.external_id_field} = {write.external_id}"
            yield from (f"  {name} = {json.dumps(value)}" for name, value in write.fields.items())


def _arithmetic(when: str, mrr: Mrr | None) -> Iterable[str]:
    yield f"  {when}:" + (" nothing" if mrr is None else "")
    yield from (f"    {line}" for line in (mrr.arithmetic if mrr else ()))


def as_json(it: Explained) -> dict[str, Any]:
    """For a program: amounts in minor units as exact fractions, and as text."""

    def money(mrr: Mrr | None) -> Any:
        if mrr is None:
            return None
        amount = mrr.money
        told = {"mrr": str(amount.rounded), "arr": str(mrr.arr.rounded), "currency": amount.currency.upper()}
        return {**told, "minor_units": str(amount.minor), "arithmetic": mrr.arithmetic}

    moved = it.movement
    told = None
    if moved is not None:
        told = {"id": moved.id, "kind": moved.kind, "change": moved.change, "renewed": bool(moved.renewed)}
        told |= {"before": money(moved.before), "after": money(moved.after)}
    kept = [msgspec.to_builtins(write) for write in it.records if write.fields]
    return {
        "event": it.event,
        "type": it.type,
        "customer": it.customer,
        "movement": told,
        "records": kept,
        "why": it.why,
    }


def main() -> int:
    """`python -m agents.explain EVENT_FILE [--json]`."""
    parser = argparse.ArgumentParser(prog="revstream explain", description=__doc__)
    parser.add_argument("event_file", help="one event as Stripe sends it; - reads it from standard input")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    try:
        path = options.event_file
        body = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        settings = load()
        mapping.check(settings.mapping)
        policies.check(settings)
        told = asyncio.run(explain(body, settings))
    except OSError as error:
        print(f"revstream: cannot read {options.event_file}: {error.strerror}.", file=sys.stderr)
        return FAILED
    except SettingError as error:
        print(f"revstream: {error}", file=sys.stderr)
        return MISCONFIGURED
    except (Unexplained, Away) as error:
        print(f"revstream: {options.event_file}: {error}", file=sys.stderr)
        return FAILED
    print(json.dumps(as_json(told)) if options.json else "\n".join(lines(told)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
