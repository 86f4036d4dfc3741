"""Whatever Salesforce answers and in whatever order, offsets wait for their rows and nothing is lost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from stream.records import Match, Write
from stream.salesforce import soql
from stream.salesforce.errors import Kind, RequestError
from stream.salesforce.planner import CALL_ROWS, plan
from stream.salesforce.rows import Row
from stream.salesforce.rows import row as make_row
from stream.salesforce.window import Book
from tests.fakes import desk
from tests.fakes.salesforce import FakeSalesforce, no_answer
from tests.fakes.writes import account, contact

# (offsets skipped before it, customer, object, version, partition)
_writes = st.lists(
    st.tuples(
        st.integers(0, 2), st.integers(0, 4), st.sampled_from("AC"), st.integers(1, 3), st.integers(0, 2)
    ),
    max_size=40,
)


def _room(rows: int) -> Callable[[str], int]:
    return lambda _: rows


def write(customer: int, object_: str, version: int, name: str) -> Write:
    if object_ == "A":
        return account(f"cus_{customer}", version, Name=name)
    return contact(f"cus_{customer}", version, LastName=name)


@given(writes=_writes, steps=st.lists(st.tuples(st.sampled_from("taker"), st.randoms()), max_size=60))
def test_no_offset_moves_past_an_unsettled_row(
    writes: list[tuple[int, int, str, int, int]], steps: list[tuple[str, random.Random]]
) -> None:
    book = Book()
    book.own(range(3))
    offsets: dict[int, int] = defaultdict(int)
    unsettled: dict[int, set[int]] = defaultdict(set)
    superseded: list[Row] = []
    flying: list[Row] = []
    coming = iter(writes)

    def settle(row: Row) -> None:
        book.resolve(row)
        unsettled[row.partition].discard(row.offset)

    for step, chance in [*steps, *[("a", random.Random(0))] * len(writes)]:
        if step in "ar" and (one := next(coming, None)) is not None:
            gap, customer, object_, version, partition = one
            partition = customer % 3  # a customer has one partition
            offset = offsets[partition] + gap
            assert book.begin(partition, offset)
            assert not book.begin(partition, offset), "read twice"
            row = make_row(write(customer, object_, version, "x"), partition, offset)
            offsets[partition] = offset + 1
            unsettled[partition].add(offset)
            if older := book.add(row):
                superseded.append(older)
        elif step == "t":
            room = chance.choice([0, 1, 100])
            flying += book.take(chance.randint(0, 10), 0.0, _room(room))
        elif step == "k" and flying:
            settle(flying.pop(chance.randrange(len(flying))))
        elif step == "e" and flying:
            superseded += book.release([flying.pop(chance.randrange(len(flying)))])
        if superseded and chance.random() < 0.5:
            settle(superseded.pop())
        keys = [row.write.key for row in flying]
        assert len(set(keys)) == len(keys), "a record twice in flight"
        for partition, committable in book.committable().items():
            expected = min(unsettled[partition], default=offsets[partition])
            assert committable == expected

    for row in [*superseded, *flying]:
        settle(row)
    while rows := book.take(1000, 0.0, lambda _: 1000):
        for row in rows:
            settle(row)
    assert book.rows == book.waiting() == book.bytes == 0
    assert book.committable() == dict(offsets)


_rows = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 5), st.sampled_from(["", "", "", "#N/A", "x" * 500_000])),
    max_size=400,
)


@given(shapes=_rows, bulk_from=st.integers(1, 300), job_running=st.booleans())
@settings(max_examples=60)
def test_a_plan_keeps_every_row_once_and_every_customer_in_one_call_at_a_time(
    shapes: list[tuple[int, int, str]], bulk_from: int, job_running: bool
) -> None:
    rows = []
    for n, (customer, suspected, text) in enumerate(shapes):
        rows.append(make_row(replace(account(f"rec_{n}", Description=text), account=f"cus_{customer}"), 0, n))
        rows[-1].suspected = suspected
    made = plan(rows, bulk_from=bulk_from, job_running=job_running)
    jobs = [made.job] if made.job else []
    sent = [row for call in [*jobs, *(call for phase in made.phases for call in phase)] for row in call.rows]
    assert Counter(map(id, [*sent, *made.later])) == Counter(map(id, rows))
    assert not (made.job and job_running)
    in_job = {row.write.account for job in jobs for row in job.rows}
    for phase in made.phases:
        homes = Counter(customer for call in phase for customer in {row.write.account for row in call.rows})
        assert all(count == 1 for count in homes.values()), "a customer in two calls at once"
        assert not in_job & set(homes), "a customer in a call and the job at once"
        for call in phase:
            keys = [row.write.external_id for row in call.rows]
            assert len(set(keys)) == len(keys) <= CALL_ROWS


@given(writes=_writes)
def test_of_one_record_the_newest_write_is_kept(writes: list[tuple[int, int, str, int, int]]) -> None:
    book = Book()
    book.own([0])
    newest: dict[str, Write] = {}
    for offset, (_, customer, object_, version, _) in enumerate(writes):
        book.begin(0, offset)
        one = write(customer, object_, version, str(offset))
        book.add(make_row(one, 0, offset))
        if one.key not in newest or one.version >= newest[one.key].version:
            newest[one.key] = one
    kept: dict[str, Write] = {}
    while rows := book.take(1000, 0.0, lambda _: 1000):
        for row in rows:
            assert row.write.key not in kept
            kept[row.write.key] = row.write
            book.resolve(row)
    assert kept == newest


_FAULTS = ["upsert", "query", "stamp", "create_job", "upload", "start_job", "job", "results"]


@given(
    seed=st.integers(0, 2**32),
    faults=st.lists(
        st.tuples(st.sampled_from(_FAULTS), st.booleans(), st.sampled_from([0, 500])), max_size=8
    ),
    refused=st.dictionaries(st.integers(0, 9), st.sampled_from(["lock", "permanent"]), max_size=5),
    bulk=st.booleans(),
    rebalances=st.integers(0, 2),
)
@settings(max_examples=40, deadline=None)
def test_every_write_ends_in_one_result_and_salesforce_holds_the_newest(
    seed: int, faults: list[tuple[str, bool, int]], refused: dict[int, str], bulk: bool, rebalances: int
) -> None:
    asyncio.run(_life(seed, faults, refused, bulk, rebalances))


async def _life(
    seed: int, faults: list[tuple[str, bool, int]], refused: dict[int, str], bulk: bool, rebalances: int
) -> None:
    chance = random.Random(seed)
    fake = FakeSalesforce(seed)
    for operation, after, status in faults:
        error = RequestError(Kind.REQUEST, "UNKNOWN_EXCEPTION", "", status) if status else no_answer()
        fake.fail(operation, error, after=after)
    for customer, how in refused.items():
        if how == "lock":
            fake.refuse(f"Account:cus_{customer}", "UNABLE_TO_LOCK_ROW", times=3)
        else:
            fake.always[f"Account:cus_{customer}"] = {
                "statusCode": "STRING_TOO_LONG",
                "message": "",
                "fields": ["Name"],
            }
    config = desk.settings(writer={"bulk_from_rows": 5 if bulk else 2000, "attempts": 30})
    log = desk.MemoryLog()
    newest: dict[int, str] = {}
    again = rebalances > 0  # then writes may be read twice
    async with desk.at_work(fake, log, config) as work:
        for version in range(1, chance.randint(10, 60)):
            customer = chance.randrange(10)
            newest[customer] = f"Name {version}"
            match = Match(f"{customer}@x.example") if chance.random() < 0.5 else None
            work.put(
                account(f"cus_{customer}", version, match=match, Name=newest[customer]),
                partition=customer % 4,
            )
            if chance.random() < 0.4:
                work.put(contact(f"cus_{customer}", version), partition=customer % 4)
            if chance.random() < 0.2:
                await asyncio.sleep(0.001)
            if rebalances and chance.random() < 0.1:
                rebalances -= 1
                await work.dispatcher.give_up()
                work.own(0, 1, 2, 3)
        await work.done()
    asked = Counter((p, key.decode()) for p, rows in log.writes.items() for key, _ in rows)
    told = Counter((partition, result.key) for partition, result in log.told)
    assert not asked - told, "a write without a result"
    if not again:
        assert told == asked, "a write with two results"
    assert fake.overlaps == []
    held = fake.by_external_id("Account")
    for customer, name in newest.items():
        if refused.get(customer) == "permanent":
            assert f"cus_{customer}" not in held
        else:
            assert held[f"cus_{customer}"]["Name"] == name
    letters = {letter.key for letter in log.letters}
    permanent = {f":cus_{customer}".encode() for customer, how in refused.items() if how == "permanent"}
    assert all(key is not None and b":" + key.partition(b":")[2] in permanent for key in letters)


@given(st.lists(st.text(), max_size=5))
def test_a_query_is_as_long_as_it_is_taken_for(values: list[str]) -> None:
    for text in (*values, *map(soql.literal, values)):
        assert soql._weight(text) == len(soql.encoded(text))
