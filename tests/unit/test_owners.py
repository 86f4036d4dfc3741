"""Who gets a new record: the Account's owner, a substitute, or nobody, and then it is set aside."""

from __future__ import annotations

import msgspec

from stream.records import Owner, Reference, Write
from stream.salesforce.errors import Kind, RequestError
from stream.settings import CUSTOMER_ID_FIELD, STRIPE_ID_FIELD
from tests.fakes.desk import at_work
from tests.fakes.salesforce import FakeSalesforce
from tests.fakes.writes import account

SUBSTITUTE = "005000000000999AAA"


def task(customer: str, id_: str = "in_1:payment", version: int = 1, fallback: str | None = None) -> Write:
    return Write(
        object="Task",
        external_id_field=STRIPE_ID_FIELD,
        external_id=id_,
        account=customer,
        version=version,
        fields={"Subject": "Call them", "Status": "Not Started"},
        events=account(customer).events,
        parents={"What": Reference("Account", CUSTOMER_ID_FIELD, customer)},
        owner=Owner("What", fallback),
    )


def org(*, active: bool = True) -> tuple[FakeSalesforce, str]:
    """An org whose one user owns the Account of cus_1."""
    fake = FakeSalesforce()
    fake.fields["User"].add("IsActive")
    user = fake.seed("User", Name="Uma", IsActive=active)
    fake.seed("Account", **{CUSTOMER_ID_FIELD: "cus_1", "Name": "Ada", "OwnerId": user})
    return fake, user


async def test_a_new_task_goes_to_the_owner_of_its_account() -> None:
    fake, user = org()
    async with at_work(fake) as desk:
        desk.put(task("cus_1"))
        await desk.done()
    assert fake.by_external_id("Task")["in_1:payment"]["OwnerId"] == user
    assert (fake.calls["query"], fake.calls["upsert"]) == (1, 1)


async def test_a_task_that_somebody_has_handed_on_keeps_its_owner() -> None:
    fake, _ = org()
    fake.seed("Task", **{STRIPE_ID_FIELD: "in_1:payment", "Status": "Not Started", "OwnerId": SUBSTITUTE})
    async with at_work(fake) as desk:
        desk.put(task("cus_1"))
        await desk.done()
    assert fake.by_external_id("Task")["in_1:payment"]["OwnerId"] == SUBSTITUTE


async def test_what_was_confirmed_is_not_asked_for_again() -> None:
    fake, _ = org()
    async with at_work(fake) as desk:
        desk.put(task("cus_1"))
        await desk.done()
        done = msgspec.structs.replace(task("cus_1", version=2), fields={"Status": "Completed"})
        desk.put(task("cus_1", version=2), done)
        await desk.done()
    assert fake.by_external_id("Task")["in_1:payment"]["Status"] == "Completed"
    assert fake.calls["query"] == 1


async def test_the_substitute_gets_what_an_inactive_owner_would() -> None:
    fake, _ = org(active=False)
    async with at_work(fake) as desk:
        desk.put(task("cus_1", fallback=SUBSTITUTE))
        await desk.done()
    assert fake.by_external_id("Task")["in_1:payment"]["OwnerId"] == SUBSTITUTE


async def test_without_a_substitute_it_is_set_aside_and_the_rest_flows_on() -> None:
    fake, inactive = org(active=False)
    other = fake.seed("User", Name="Ole", IsActive=True)
    fake.seed("Account", **{CUSTOMER_ID_FIELD: "cus_2", "Name": "Bo", "OwnerId": other})
    async with at_work(fake) as desk:
        desk.put(task("cus_1"), task("cus_2", "in_2:payment"))
        results = {result.key: result for result in await desk.done()}
    refused = results["Task:in_1:payment"]
    assert refused.outcome == "dead-lettered"
    assert refused.error is not None
    assert (refused.error.code, refused.error.fields) == ("owner_inactive", ("OwnerId",))
    assert inactive in refused.error.message
    assert "FAILED_PAYMENTS_FALLBACK_OWNER" in refused.error.message
    assert fake.by_external_id("Task")["in_2:payment"]["OwnerId"] == other
    assert len(desk.log.letters) == 1


async def test_a_question_without_an_answer_is_asked_again() -> None:
    fake, user = org()
    fake.fail("query", RequestError(Kind.REQUEST, "timeout", "no answer"), times=2)
    async with at_work(fake) as desk:
        desk.put(task("cus_1"))
        await desk.done()
    assert fake.by_external_id("Task")["in_1:payment"]["OwnerId"] == user


async def test_five_hundred_tasks_ask_in_one_call() -> None:
    fake, _ = org()
    user = next(iter(fake.records["User"]))
    for number in range(2, 502):
        fake.seed("Account", **{CUSTOMER_ID_FIELD: f"cus_{number}", "Name": "N", "OwnerId": user})
    async with at_work(fake) as desk:
        desk.put(*(task(f"cus_{number}", f"in_{number}:payment") for number in range(2, 502)))
        await desk.done()
    assert len(fake.records["Task"]) == 500
    assert fake.calls["query"] == 1
