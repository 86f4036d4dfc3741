"""The tables of one partition, folded anew from the log.

The log is read twice. First its events are folded, into rows that know nothing but the log; then, with the state
that came of all of them, the workflows say what Salesforce should hold, of every customer and of every event. So
nothing is told of a state that was only passed through. Notices are never kept.

A row is never worse for it. A customer of whom the log tells everything (it has the creation, and reaches back to
it) is taken from the log alone; of another, object by object, what the log tells no older than the row does. IDs
in Salesforce, what waits, and what Stripe was once asked stay as they are; so does a row that the log tells nothing
of.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

import msgspec

from agents import projector
from agents.events import CUSTOMER, SUBSCRIPTION, Event, Record, State
from agents.projector import Emitted, Folded
from agents.rebuild.differences import Difference, Differences
from agents.stock import Stock, account_of
from stream.kafka import batches
from stream.records import REPLAY, Write, encode
from stream.settings import Settings
from stream.stripe.patience import patiently
from stream.topics import SALESFORCE_WRITES, changelog
from tables import customer_mapping, subscriptions

# Clocks of Stripe and the gateways differ by less.
CLOCKS_MS = 3600 * 1000

BREATH = 200

Row = tuple[bytes, bytes]  # as the two tables hold it
EMPTY: Row = (b"{}", b"{}")
UNREADABLE = b""


class Log(msgspec.Struct, frozen=True):
    """What is read of a partition of the log: from the offset of its first record to `end`; the projector has
    committed what lies below `committed`. `oldest` is the time of the first record in epoch milliseconds."""

    start: int
    end: int
    committed: int
    oldest: int | None

    def reaches(self, at: int) -> bool:
        """Whether it has all that came since a time in epoch seconds, by a clock that is not far off."""
        return not self.start or (self.oldest is not None and at * 1000 >= self.oldest + CLOCKS_MS)


class Partition:
    """One partition's rebuild. `held` are the rows as they are, by customer, and `asked` the last writes by key.

    While a projector works, `live`, customers with events that it has not committed are left out: what there is of
    them is not of one moment.
    """

    def __init__(
        self,
        number: int,
        log: Log,
        held: Mapping[bytes, Row],
        asked: dict[str, Write],
        stock: Stock,
        settings: Settings,
        *,
        live: bool = False,
    ) -> None:
        self.customers: Counter[str] = Counter()
        self.moving: set[bytes] = set()
        self._number = number
        self.log = log
        self._held = held
        self._stock = stock
        self._settings = settings
        self._live = live
        self._told: dict[bytes, Row] = {}
        self._full: set[bytes] = set()
        self._rows: dict[bytes, Row] = {}
        self._differences = Differences(asked)

    # From the log to rows

    def fold(self, chunk: Sequence[Record]) -> None:
        """Takes in the next records of the log."""
        folded = projector.fold_chunk(chunk, lambda key: read(self._told.get(key, EMPTY)))
        for key, state in folded.states.items():
            self._told[key] = row(state)
        for key, events in folded.touched.items():
            if any(self._begins(event) for event in events):
                self._full.add(key)
        if self._live:
            self.moving |= {one.key for one in chunk if one.key and one.offset >= self.log.committed}

    def _begins(self, event: Event) -> bool:
        """Whether the log has all of a customer, from this event on. One that was sent again may be older."""
        created = event.ref.type == f"{CUSTOMER}.created" and REPLAY not in event.record.headers
        return created and self.log.reaches(event.ref.created)

    async def settle(self) -> None:
        """Works out the new rows, when the whole log is folded."""
        for number, (key, told) in enumerate(self._told.items()):
            if number % BREATH == 0:
                await asyncio.sleep(0)  # who holds a group has to say so now and then
            if key in self.moving:
                self.customers["moving"] += 1
                continue
            log, held = read(told), read(self._held.get(key, EMPTY))
            if key in self._full:
                new, kind = _refetched(log, held), "full"
            else:
                new, kind = _retold(log, held), "part"
            if new.mapping.customer is None and not held.mapping.waiting:
                # The projector would have its events wait, or ask Stripe; a replay has it do so.
                kind = "unknown"
            self.customers[kind] += 1
            if kind == "unknown" and key not in self._held:
                continue
            if new != held or UNREADABLE in self._old(key):
                self._rows[key] = self._row(key, new, held)
        for key in self._held.keys() - self._told.keys():
            self.customers["broken" if UNREADABLE in self._old(key) else "silent"] += 1
        self._told.clear()

    def _row(self, key: bytes, new: State, held: State) -> Row:
        """As it is stored. What only stands in another order stays as it is."""
        (mapping, subscribed), old = row(new), self._old(key)
        return (
            (new.mapping == held.mapping and old[0]) or mapping,
            (new.subscriptions == held.subscriptions and old[1]) or subscribed,
        )

    # From rows to records

    async def tell(self, keys: Collection[bytes]) -> None:
        """What follows from the rows of these customers."""
        await self._compare({key: [] for key in keys})

    async def retell(self, chunk: Sequence[Record]) -> None:
        """What follows from events that the projector has worked on, with what has come of them all."""
        done = [one for one in chunk if one.offset < self.log.committed]
        folded = projector.fold_chunk(done, lambda key: read(self.new(key)))
        await self._compare(folded.touched)

    async def _compare(self, touched: dict[bytes, list[Event]]) -> None:
        known = {key: events for key, events in touched.items() if self.new(key) is not EMPTY}
        changed = {key: self._of_old(key, events) for key, events in known.items() if key in self._rows}
        after = await self._emit(known, self.new)
        before = await self._emit(changed, self._old)
        of_changed = {key.decode() for key in changed}
        self._differences.compare((one for one in after if one.account not in of_changed), None)
        self._differences.compare((one for one in after if one.account in of_changed), before)

    def _of_old(self, key: bytes, events: list[Event]) -> list[Event]:
        """The events that the old row can have folded: it may lack what they are about."""
        held = read(self._old(key)).subscriptions.by_id
        return [one for one in events if one.family != SUBSCRIPTION or one.object.id in held]

    async def _emit(self, touched: dict[bytes, list[Event]], load: Callable[[bytes], Row]) -> list[Write]:
        states = {key: read(load(key)) for key in touched}
        folded = Folded(states=states, touched=touched)
        emitted = Emitted()
        keys: Collection[bytes] = [key for key in touched if states[key].mapping.customer is not None]
        while keys:
            wanted = projector.emit(folded, keys, self._stock.lookup, self._settings, emitted)
            await asyncio.gather(
                *(
                    patiently(partial(self._stock.fetch, unknown, account_of(key.decode())))
                    for key, unknown in wanted.items()
                )
            )
            keys = wanted.keys()
        return emitted.writes

    def new(self, key: bytes) -> Row:
        """A customer's row as it should be; EMPTY for one that is left out."""
        return EMPTY if key in self.moving else self._rows.get(key) or self._old(key)

    def _old(self, key: bytes) -> Row:
        return self._held.get(key, EMPTY)

    # What came of it

    @property
    def keys(self) -> list[bytes]:
        """All customers who have a row."""
        return [key for key in {**self._held, **self._rows} if key not in self.moving]

    @property
    def differences(self) -> list[Difference]:
        """The records that are to be sent."""
        return list(self._differences.found.values())

    @property
    def departed(self) -> list[str]:
        """Customers who have left, as far as the log tells, and of whom that was not asked for before."""
        return sorted(self._differences.departed)

    @property
    def untold(self) -> list[str]:
        """Records that were asked for and that nothing tells of any more. Revstream deletes none."""
        return [] if self._live else self._differences.untold

    def writes(self) -> Iterable[batches.Record]:
        """The records that are to be sent, marked as a replay's: their events were told of before."""
        for one in self.differences:
            write = one.after
            yield batches.Record(
                SALESFORCE_WRITES, self._number, write.key.encode(), encode(write), (REPLAY,)
            )

    def changes(self) -> Iterable[batches.Record]:
        """The rows that differ, for the changelogs."""
        for key, new in self._rows.items():
            old = self._old(key)
            for name, value, was in zip((customer_mapping.NAME, subscriptions.NAME), new, old, strict=True):
                if value != was:
                    yield batches.Record(changelog(name), self._number, key, value)


def read(stored: Row) -> State:
    """The state of a row."""
    return State(customer_mapping.decode(stored[0] or None), subscriptions.decode(stored[1] or None))


def row(state: State) -> Row:
    """The row of a state."""
    return customer_mapping.encode(state.mapping), subscriptions.encode(state.subscriptions)


def _refetched(log: State, held: State) -> State:
    return State(
        customer_mapping.refetched(log.mapping, held.mapping),
        subscriptions.refetched(log.subscriptions, held.subscriptions),
    )


def _retold(log: State, held: State) -> State:
    return State(
        customer_mapping.retold(log.mapping, held.mapping),
        subscriptions.retold(log.subscriptions, held.subscriptions),
    )
