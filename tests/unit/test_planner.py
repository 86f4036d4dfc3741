"""From rows to calls."""

from __future__ import annotations

from msgspec.structs import replace

from stream.records import Write
from stream.salesforce import planner, rows
from stream.salesforce.planner import ALONE, Plan, plan
from stream.salesforce.rows import Row
from tests.fakes.writes import account, contact


def row(write: Write, suspected: int = 0) -> Row:
    made = rows.row(write, 0, 0)
    made.suspected = suspected
    return made


def many(count: int, customer: str | None = None) -> list[Row]:
    writes = [contact(f"con_{n:05d}") for n in range(count)]
    return [row(replace(write, account=customer) if customer else write) for write in writes]


def planned(rows: list[Row], bulk_from: int = 2000, *, job_running: bool = False) -> Plan:
    return plan(rows, bulk_from=bulk_from, job_running=job_running)


def sizes(made: Plan) -> list[list[int]]:
    return [[len(call.rows) for call in phase] for phase in made.phases]


def test_no_rows_no_calls() -> None:
    assert planned([]) == Plan()


def test_two_hundred_rows_a_call_sorted_by_customer() -> None:
    made = planned(list(reversed(many(450))))
    assert sizes(made) == [[200, 200, 50]]
    accounts = [each.write.account for call in made.phases[0] for each in call.rows]
    assert accounts == sorted(accounts)


def test_a_customers_rows_share_a_call() -> None:
    rows = many(150, "cus_a") + many(100, "cus_b")
    made = planned(rows)
    assert sizes(made) == [[150, 100]]


def test_a_customer_of_more_rows_than_a_call_takes_several_one_after_the_other() -> None:
    made = planned(many(450, "cus_a") + many(10, "cus_b"))
    assert sizes(made) == [[200, 10], [200], [50]]


def test_large_rows_make_smaller_calls() -> None:
    big = [row(account(f"cus_{n}", Name="x" * (planner.CALL_BYTES // 3))) for n in range(4)]
    assert sizes(planned(big)) == [[2, 2]]
    assert sizes(planned([row(account("cus_1", Name="x" * (2 * planner.CALL_BYTES)))])) == [[1]]


def test_from_so_many_rows_on_a_job() -> None:
    made = planned(many(2000))
    assert made.job is not None
    assert (len(made.job.rows), made.phases, made.later) == (2000, (), ())
    assert planned(many(1999)).job is None


def test_a_job_is_one_internal_batch_of_whole_customers() -> None:
    rows = many(9_990) + many(20, "zzz")
    made = planned(rows)
    assert made.job is not None
    assert len(made.job.rows) == 9_990
    assert {each.write.account for each in made.later} == {"zzz"}


def test_one_job_at_a_time() -> None:
    made = planned(many(2000), job_running=True)
    assert (made.job, made.phases, len(made.later)) == (None, (), 2000)
    assert planned(many(100), job_running=True).later == ()


def test_rows_that_no_job_can_take_go_beside_it_unless_their_customer_is_in_it() -> None:
    rows = [*many(2000), row(account("con_00007", Name="#N/A")), row(account("cus_x", Name="#N/A"))]
    made = planned(rows)
    assert made.job is not None
    assert len(made.job.rows) == 2000
    assert [[each.write.external_id for each in call.rows] for call in made.phases[0]] == [["cus_x"]]
    assert [each.write.external_id for each in made.later] == ["con_00007"]


def test_suspicion_makes_calls_smaller() -> None:
    assert sizes(planned([row(account(f"cus_{n:03d}"), 1) for n in range(120)])) == [[50, 50, 20]]
    assert sizes(planned([row(account(f"cus_{n:03d}"), 3) for n in range(7)])) == [[3, 3, 1]]
    assert sizes(planned([row(account(f"cus_{n:03d}"), ALONE + 5) for n in range(3)])) == [[1, 1, 1]]
    mixed = [row(account("cus_a")), row(account("cus_b"), 1), row(account("cus_c"))]
    assert sizes(planned(mixed)) == [[2, 1]]


def test_a_suspect_row_does_not_go_at_once_with_its_customers_others() -> None:
    rows = [*many(3, "cus_a"), *(row(each.write, 2) for each in many(2, "cus_a"))]
    assert sorted(sizes(planned(rows))) == [[2], [3]]
