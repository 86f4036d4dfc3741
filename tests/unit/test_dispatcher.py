"""The writer's core against the fake Salesforce: every write gets its result, and offsets wait for it."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

import pytest

from stream import metrics
from stream.records import REPLAY, Match, Write, encode
from stream.salesforce import budget
from stream.salesforce.budget import Usage
from stream.salesforce.errors import Kind, RequestError
from stream.salesforce.session import LoginError
from stream.settings import CUSTOMER_ID_FIELD as ID
from tests.fakes.desk import DEADLINE, QUICK, MemoryLog, at_work, settings
from tests.fakes.salesforce import FakeSalesforce
from tests.fakes.writes import account, contact

LOCKED = ("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")


def counted() -> Counter[tuple[str, ...]]:
    """What the metrics have counted: rows by object, outcome and phase, and how many times were taken of them."""
    (counter,), (histogram,) = metrics.ROWS.collect(), metrics.END_TO_END.collect()
    found = Counter(
        {
            tuple(one.labels[name] for name in ("object", "outcome", "phase")): int(one.value)
            for one in counter.samples
            if one.name.endswith("_total")
        }
    )
    found["timed",] = next(int(one.value) for one in histogram.samples if one.name.endswith("_count"))
    return found


def outcomes(log: MemoryLog) -> list[tuple[str, str]]:
    return sorted((result.key, result.outcome) for result in log.results)


async def test_a_customer_is_created_parent_first_in_two_calls() -> None:
    fake = FakeSalesforce()
    async with at_work(fake) as desk:
        desk.put(account("cus_1"), contact("cus_1"))
        first, second = await desk.done()
    assert (first.key, first.outcome) == ("Account:cus_1", "created")
    assert (second.key, second.outcome) == ("Contact:cus_1", "created")
    assert first.salesforce_id == fake.by_external_id("Account")["cus_1"]["Id"]
    assert first.events == account("cus_1").events
    assert fake.calls["upsert"] == 2
    assert fake.calls["query"] == 0
    assert desk.log.committed[0] == (2, "")


async def test_the_same_content_again_is_unchanged_and_not_sent() -> None:
    fake = FakeSalesforce()
    async with at_work(fake) as desk:
        desk.put(account("cus_1", 1))
        await desk.done()
        desk.put(account("cus_1", 2))
        await desk.done()
        desk.put(account("cus_1", 3, Name="Ada"))
        results = await desk.done()
    assert [result.outcome for result in results] == ["created", "unchanged", "updated"]
    assert len({result.salesforce_id for result in results}) == 1
    assert fake.calls["upsert"] == 2


async def test_in_a_replay_what_was_confirmed_is_sent_again_and_heals_the_record() -> None:
    fake = FakeSalesforce()
    async with at_work(fake) as desk:
        desk.put(account("cus_1", 1))
        await desk.done()
        fake.by_external_id("Account")["cus_1"]["Name"] = "changed by hand"
        replayed = account("cus_1", 1)
        desk.dispatcher.read(0, desk.log.put(replayed), replayed.key.encode(), encode(replayed), (REPLAY,))
        await desk.until(lambda: desk.log.committed[0][0] == 2)
        assert [result.outcome for result in desk.log.results] == ["created", "updated"]
        assert fake.by_external_id("Account")["cus_1"]["Name"] == "cus_1"


async def test_what_was_told_before_is_a_replay_though_its_record_does_not_say_so() -> None:
    """Whoever moves the writer's offsets back marks no record."""
    fake, log = FakeSalesforce(), MemoryLog()
    async with at_work(fake, log) as desk:
        desk.put(account("cus_1"), account("cus_2"))
        log.put(b"{", key="Account:cus_3")
        desk.read()
        await desk.done()
    before = counted()
    log.committed[0] = (1, "")
    async with at_work(fake, log) as desk:
        desk.put(account("cus_4"))
        await desk.done()
    assert counted() - before == {
        ("Account", "updated", "replay"): 1,
        ("unknown", "dead-lettered", "replay"): 1,
        ("Account", "created", "live"): 1,
        ("timed",): 1,
    }


async def test_a_write_that_takes_a_replayed_one_over_is_sent_too() -> None:
    fake = FakeSalesforce()
    async with at_work(fake) as desk:
        desk.put(account("cus_1", 1))
        await desk.done()
        write = account("cus_1", 1)
        desk.dispatcher.read(0, desk.log.put(write), write.key.encode(), encode(write), (REPLAY,))
        desk.dispatcher.read(0, desk.log.put(write), write.key.encode(), encode(write))
        await desk.until(lambda: desk.log.committed[0][0] == 3)
    assert outcomes(desk.log) == [
        ("Account:cus_1", "created"),
        ("Account:cus_1", "superseded"),
        ("Account:cus_1", "updated"),
    ]


async def test_what_an_operator_holds_back_waits_and_goes_on_when_let() -> None:
    fake = FakeSalesforce()
    async with at_work(fake) as desk:
        desk.dispatcher.hold({"Contact": "mapping is being changed"})
        desk.put(account("cus_1"), contact("cus_1"))
        await desk.results(1)
        assert outcomes(desk.log) == [("Account:cus_1", "created")]
        desk.dispatcher.hold({"all": "maintenance"})
        desk.put(account("cus_2"))
        desk.dispatcher.hold({})
        await desk.done()
    assert next(object_ for object_, _ in fake.sent) == "Account"
    assert len(desk.log.results) == 3


async def test_nothing_is_asked_of_salesforce_while_all_is_held_back() -> None:
    fake = FakeSalesforce()
    async with at_work(fake) as desk:
        desk.dispatcher.hold({"all": "maintenance"})
        before = sum(fake.calls.values())
        desk.put(account("cus_1"), contact("cus_1"))
        # The window closes after 2 ms; one of another desk is written meanwhile.
        other = FakeSalesforce()
        async with at_work(other) as witness:
            witness.put(account("cus_9"))
            await witness.done()
        assert sum(fake.calls.values()) == before
        assert not fake.sent
        desk.dispatcher.hold({})
        await desk.done()
    assert len(desk.log.results) == 2


async def test_only_the_newest_of_a_window_goes() -> None:
    fake = FakeSalesforce()
    async with at_work(fake) as desk:
        desk.put(account("cus_1", 1, Name="old"), account("cus_2"), account("cus_1", 2, Name="new"))
        await desk.done()
    assert outcomes(desk.log) == [
        ("Account:cus_1", "created"),
        ("Account:cus_1", "superseded"),
        ("Account:cus_2", "created"),
    ]
    assert fake.by_external_id("Account")["cus_1"]["Name"] == "new"
    assert sum(keys.count("cus_1") for _, keys in fake.sent) == 1


async def test_an_older_state_sent_later_does_not_win() -> None:
    fake = FakeSalesforce()
    async with at_work(fake) as desk:
        desk.put(account("cus_1", 5, Name="new"), account("cus_1", 4, Name="old"))
        await desk.done()
        desk.put(account("cus_1", 3, Name="older"))
        results = await desk.done()
    assert [(r.version, r.outcome) for r in results] == [(4, "superseded"), (5, "created"), (3, "superseded")]
    assert fake.by_external_id("Account")["cus_1"]["Name"] == "new"


async def test_a_tombstone_asks_for_nothing() -> None:
    async with at_work(FakeSalesforce()) as desk:
        desk.log.put(None)
        desk.put(account("cus_1"))
        await desk.done()
    assert outcomes(desk.log) == [("Account:cus_1", "created")]
    assert desk.log.committed[0] == (2, "")


async def test_what_is_no_write_is_set_aside_with_its_key() -> None:
    async with at_work(FakeSalesforce()) as desk:
        desk.log.put(b"{not json", key="Account:cus_9")
        desk.read()
        (result,) = await desk.done()
    assert (result.object, result.external_id, result.outcome) == ("Account", "cus_9", "dead-lettered")
    assert result.error is not None
    assert result.error.code == "undecodable"
    (letter,) = desk.log.letters
    assert (letter.key, letter.value) == (b"Account:cus_9", b"{not json")
    assert dict(letter.headers)["revstream.errors.stage"] == b"decode"


async def test_a_locked_row_goes_again_alone_and_its_child_waits() -> None:
    fake = FakeSalesforce()
    fake.refuse("Account:cus_1", *LOCKED, times=2)
    async with at_work(fake) as desk:
        desk.put(account("cus_1"), contact("cus_1"), account("cus_2"), contact("cus_2"))
        await desk.done()
    assert {outcome for _, outcome in outcomes(desk.log)} == {"created"}
    accounts = [keys for object_, keys in fake.sent if object_ == "Account"]
    assert accounts == [["cus_1", "cus_2"], ["cus_1"], ["cus_1"]]
    assert [keys for object_, keys in fake.sent if object_ == "Contact"] == [["cus_2"], ["cus_1"]]


async def test_a_row_that_stays_locked_is_set_aside_after_its_tries() -> None:
    fake = FakeSalesforce()
    fake.refuse("Account:cus_1", *LOCKED, times=9)
    async with at_work(fake, config=settings(writer={"attempts": 3})) as desk:
        desk.put(account("cus_1"))
        (result,) = await desk.done()
    assert result.error is not None
    assert (result.outcome, result.error.code) == ("dead-lettered", "UNABLE_TO_LOCK_ROW")
    assert len(fake.sent) == 3
    headers = dict(desk.log.letters[0].headers)
    assert (headers["revstream.errors.attempts"], headers["revstream.errors.stage"]) == (b"3", b"write")


async def test_a_refused_row_is_set_aside_with_code_and_fields_and_the_others_flow() -> None:
    fake = FakeSalesforce()
    fake.refuse("Account:cus_1", "FIELD_CUSTOM_VALIDATION_EXCEPTION", "VAT?", "Vat__c")
    async with at_work(fake) as desk:
        desk.put(account("cus_1"), account("cus_2"))
        await desk.done()
    assert outcomes(desk.log) == [("Account:cus_1", "dead-lettered"), ("Account:cus_2", "created")]
    headers = dict(desk.log.letters[0].headers)
    assert headers["revstream.errors.code"] == b"FIELD_CUSTOM_VALIDATION_EXCEPTION"
    assert headers["revstream.errors.fields"] == b"Vat__c"
    assert desk.log.letters[0].value == desk.log.writes[0][0][1]


async def test_nothing_is_committed_past_a_row_that_waits() -> None:
    fake = FakeSalesforce()
    fake.always["Account:cus_2"] = {"statusCode": LOCKED[0], "message": LOCKED[1], "fields": []}
    async with at_work(fake, config=settings(writer={"attempts": 1000})) as desk:
        desk.put(*(account(f"cus_{n}") for n in range(1, 6)))
        await desk.results(4)
        await desk.until(lambda: desk.log.committed.get(0) == (1, ""))
        del fake.always["Account:cus_2"]
        await desk.done()
    assert desk.log.committed[0] == (5, "")


async def test_a_request_without_an_answer_is_sent_again_even_when_it_was_applied() -> None:
    fake = FakeSalesforce()
    fake.fail("upsert", after=True)
    async with at_work(fake) as desk:
        desk.put(account("cus_1"))
        (result,) = await desk.done()
    assert result.outcome == "updated"
    assert len(fake.records["Account"]) == 1


async def test_content_that_may_have_been_overwritten_is_not_taken_for_confirmed() -> None:
    fake = FakeSalesforce()
    async with at_work(fake) as desk:
        desk.put(account("cus_1", Name="A"))
        await desk.done()
        fake.fail("upsert", after=True)
        desk.put(account("cus_1", 2, Name="B"))
        await desk.until(lambda: fake.calls["upsert"] >= 2 or desk.log.told)
        desk.put(account("cus_1", 3, Name="A"))
        await desk.done()
    assert fake.by_external_id("Account")["cus_1"]["Name"] == "A"


async def test_salesforce_away_keeps_every_row_and_goes_on_by_itself() -> None:
    fake = FakeSalesforce()
    fake.fail("upsert", times=6)
    async with at_work(fake) as desk:
        desk.put(*(account(f"cus_{n}") for n in range(100)))
        await desk.done()
    assert len(desk.log.results) == 100
    assert not desk.log.letters
    # After a second failure a few rows go first.
    assert len(fake.sent[2][1]) == 10


async def test_a_failed_login_closes_everything_and_is_tried_again() -> None:
    fake = FakeSalesforce()
    fake.fail("upsert", LoginError(Kind.REAUTH, "invalid_client", "invalid client credentials", 401), times=3)
    async with at_work(fake) as desk:
        desk.put(account("cus_1"))
        await desk.done()
    assert outcomes(desk.log) == [("Account:cus_1", "created")]


async def test_out_of_budget_everything_waits_and_only_the_limits_are_asked_for() -> None:
    fake = FakeSalesforce(limit=1000)
    async with at_work(fake, config=settings(salesforce={"budget_share": 0.5})) as desk:
        desk.put(account("cus_1"))
        await desk.done()
        fake.used = 550
        desk.put(account("cus_2"))
        await desk.done()
        asked = fake.calls["limits"]
        desk.put(account("cus_3"))
        async with asyncio.timeout(60):
            while fake.calls["limits"] < asked + 3:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert fake.calls["upsert"] == 2
        fake.used = 10
        await desk.done()
    assert len(desk.log.results) == 3
    assert not desk.log.letters


async def test_a_missing_field_stops_its_lane_and_no_other() -> None:
    fake = FakeSalesforce()
    fake.drop_field("Contact", "MailingCity")
    async with at_work(fake) as desk:
        desk.put(account("cus_1"), contact("cus_1"), account("cus_2"), contact("cus_2"))
        await desk.results(2)
        assert outcomes(desk.log) == [("Account:cus_1", "created"), ("Account:cus_2", "created")]
        assert desk.dispatcher.trouble == {"Contact": "configuration"}
        await desk.until(lambda: desk.log.committed.get(0) == (1, ""))
        fake.fields["Contact"].add("MailingCity")
        await desk.done()
        assert desk.dispatcher.trouble == {}
    assert len(desk.log.results) == 4
    assert not desk.log.letters
    assert all(object_ == "Account" or keys == ["cus_1", "cus_2"] for object_, keys in fake.sent)


@pytest.mark.parametrize("how", ["give up", "stop"])
async def test_a_call_in_flight_ends_and_no_other_begins(how: str) -> None:
    """What Salesforce is still working on could undo what the partition's next owner writes."""
    fake, flying, landed = FakeSalesforce(), asyncio.Event(), asyncio.Event()

    async def fly(operation: str) -> None:
        if operation == "upsert":
            flying.set()
            await landed.wait()

    fake.before = fly
    async with at_work(fake) as desk:
        desk.put(account("cus_1"), contact("cus_1"))
        await asyncio.wait_for(flying.wait(), DEADLINE)
        asyncio.get_running_loop().call_soon(landed.set)  # when both have been told, and wait
        if how == "give up":
            await desk.dispatcher.give_up()
    assert desk.log.committed == {0: (1, "")}
    assert outcomes(desk.log) == [("Account:cus_1", "created")]
    assert [object_ for object_, _ in fake.sent] == ["Account"]


async def test_a_lane_that_comes_due_while_a_window_is_made_up_is_not_tried_unasked() -> None:
    """Each look at the clock takes longer than a lane is closed for."""
    fake = FakeSalesforce()
    fake.drop_field("Contact", "MailingCity")
    ticks = itertools.count(0.0, 0.05)
    async with at_work(fake, clock=lambda: next(ticks)) as desk:
        desk.put(account("cus_1"), contact("cus_1"))
        async with asyncio.timeout(60):
            while fake.calls["describe"] < 60:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert desk.dispatcher.trouble == {"Contact": "configuration"}
        assert outcomes(desk.log) == [("Account:cus_1", "created")]
        fake.fields["Contact"].add("MailingCity")
        await desk.done()


async def test_a_field_that_goes_missing_later_stops_the_lane_too(caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeSalesforce()
    async with at_work(fake) as desk:
        desk.put(account("cus_1", Phone="1"))
        await desk.done()
        fake.drop_field("Account", "Phone")
        desk.put(account("cus_1", 2, Phone="2"))
        async with asyncio.timeout(60):
            while "Account" not in desk.dispatcher.trouble:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        fake.fields["Account"].add("Phone")
        await desk.done()
    assert [result.outcome for result in desk.log.results] == ["created", "updated"]
    assert sum("The org must be changed" in message for message in caplog.messages) <= 2
    assert any("Phone" in message for message in caplog.messages)


async def test_access_refused_to_one_record_does_not_stop_the_lane() -> None:
    fake = FakeSalesforce()
    fake.refuse("Account:cus_1", "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights", times=99)
    async with at_work(fake, config=settings(writer={"attempts": 2})) as desk:
        desk.put(account("cus_1"), account("cus_2"))
        await desk.results(1)
        desk.put(account("cus_3"))
        await desk.until(lambda: len(desk.log.results) >= 2)
        for n in range(4, 40):
            desk.put(account(f"cus_{n}"))
            await asyncio.sleep(0)
        await desk.done()
    assert ("Account:cus_1", "dead-lettered") in outcomes(desk.log)
    assert ("Account:cus_3", "created") in outcomes(desk.log)


async def test_a_row_that_salesforce_fails_on_is_found_and_set_aside() -> None:
    fake = FakeSalesforce()
    broken = RequestError(Kind.REQUEST, "UNKNOWN_EXCEPTION", "An unexpected error occurred.", 500)

    def poisoned(writes: object) -> bool:
        return any(write.external_id == "cus_77" for write in writes)  # type: ignore[attr-defined]

    fake.fail("upsert", broken, times=10_000, when=poisoned)
    async with at_work(fake) as desk:
        desk.put(*(account(f"cus_{n}") for n in range(300)))
        await desk.results(299)
        assert not desk.log.letters  # that it fails alone says nothing as long as nothing else is tried
        others = 0
        while not desk.log.letters:
            others += 1
            desk.put(account(f"cus_other_{others}"))
            await desk.results(299 + others)
        await desk.done()
    assert [result.external_id for result in desk.log.results if result.error] == ["cus_77"]
    assert sum(result.outcome == "created" for result in desk.log.results) == 299 + others


async def test_an_outage_that_answers_sets_nothing_aside() -> None:
    fake = FakeSalesforce()
    fake.fail("upsert", RequestError(Kind.REQUEST, "UNKNOWN_EXCEPTION", "An error occurred.", 500), times=60)
    async with at_work(fake, config=settings(writer={"attempts": 2})) as desk:
        desk.put(*(account(f"cus_{n}") for n in range(40)))
        await desk.done()
    assert not desk.log.letters
    assert len(desk.log.results) == 40


async def test_the_same_id_but_for_case_is_split_where_the_field_ignores_case() -> None:
    fake = FakeSalesforce()
    told = "Duplicate external id specified: cus_a"
    fake.refuse("Account:cus_a", "DUPLICATE_VALUE", told)
    fake.refuse("Account:cus_A", "DUPLICATE_VALUE", told)
    async with at_work(fake) as desk:
        desk.put(account("cus_a"), account("cus_A"))
        await desk.done()
    assert {result.outcome for result in desk.log.results} == {"created"}
    together, *apart = [keys for _, keys in fake.sent]
    assert together == ["cus_A", "cus_a"]
    assert sorted(apart) == [["cus_A"], ["cus_a"]]  # two requests at once: either may be first


def stranger(
    customer: str, email: str | None, company: str | None = None, domain: str | None = None
) -> list[Write]:
    match = Match(email, company, domain)
    return [
        account(customer, match=match),
        contact(customer, match=Match(email), Email=email),
    ]


async def test_an_account_is_adopted_by_the_email_of_its_contact() -> None:
    fake = FakeSalesforce()
    there = fake.seed("Account", Name="Engines")
    person = fake.seed("Contact", LastName="Ada", Email="Ada@Engines.example", AccountId=there)
    async with at_work(fake) as desk:
        desk.put(*stranger("cus_1", "ada@engines.example"))
        first, second = await desk.done()
    assert (first.outcome, first.salesforce_id, first.matched_by) == ("updated", there, "email")
    assert (second.outcome, second.salesforce_id, second.matched_by) == ("updated", person, "email")
    assert fake.calls["query"] == 1
    assert fake.calls["stamp"] == 2


async def test_an_account_is_adopted_by_name_and_website() -> None:
    fake = FakeSalesforce()
    fake.seed("Account", Name="Engines", Website="https://www.other.example/")
    there = fake.seed("Account", Name="engines", Website="https://www.engines.example/about")
    async with at_work(fake) as desk:
        desk.put(*stranger("cus_1", "ada@engines.example", "Engines", "engines.example"))
        first, second = await desk.done()
    assert (first.salesforce_id, first.matched_by) == (there, "company")
    assert (second.outcome, second.matched_by) == ("created", None)


async def test_what_is_linked_is_not_looked_up_twice() -> None:
    fake = FakeSalesforce()
    async with at_work(fake) as desk:
        desk.put(*stranger("cus_1", "ada@engines.example"))
        await desk.done()
        match = Match("ada@engines.example")
        desk.put(account("cus_1", 2, match=match, Name="Ada"))
        await desk.done()
    assert fake.calls["query"] == 1


async def test_several_candidates_are_not_guessed() -> None:
    fake = FakeSalesforce()
    ids = [fake.seed("Account", Name="Engines", Website="engines.example") for _ in range(2)]
    async with at_work(fake) as desk:
        desk.put(*stranger("cus_1", "ada@engines.example", "Engines", "engines.example"), account("cus_2"))
        await desk.done()
    assert outcomes(desk.log) == [
        ("Account:cus_1", "dead-lettered"),
        ("Account:cus_2", "created"),
        ("Contact:cus_1", "dead-lettered"),
    ]
    errors = {result.key: result.error for result in desk.log.results if result.error}
    assert errors["Account:cus_1"].code == "ambiguous_match"
    assert all(id_ in errors["Account:cus_1"].message for id_ in ids)
    assert errors["Contact:cus_1"].code == "parent_missing"
    assert "Account:cus_1" in errors["Contact:cus_1"].message
    stages = {letter.key: dict(letter.headers)["revstream.errors.stage"] for letter in desk.log.letters}
    assert stages == {b"Account:cus_1": b"match", b"Contact:cus_1": b"write"}


@pytest.mark.parametrize(("several", "made"), [("newest", 2), ("create", 3)])
async def test_several_candidates_by_setting(several: str, made: int) -> None:
    fake = FakeSalesforce()
    ids = [fake.seed("Account", Name="Engines", Website="engines.example") for _ in range(2)]
    async with at_work(fake, config=settings(matching={"several": several})) as desk:
        desk.put(*stranger("cus_1", "ada@engines.example", "Engines", "engines.example"))
        first, second = await desk.done()
    assert (first.salesforce_id == ids[1]) is (several == "newest")
    assert second.outcome == "created"
    assert len(fake.records["Account"]) == made


async def test_a_stamp_that_gets_no_answer_is_taken_up_again() -> None:
    fake = FakeSalesforce()
    there = fake.seed("Account", Name="Engines", Website="engines.example")
    fake.fail("stamp", after=True)
    async with at_work(fake) as desk:
        desk.put(*stranger("cus_1", "ada@engines.example", "Engines", "engines.example"))
        first, _ = await desk.done()
    assert (first.salesforce_id, first.outcome) == (there, "updated")
    assert len(fake.records["Account"]) == 1


async def test_a_parent_that_exists_and_is_refused_does_not_take_its_child_along() -> None:
    fake = FakeSalesforce()
    fake.seed("Account", Name="Engines", **{ID: "cus_1"})
    fake.refuse("Account:cus_1", "STRING_TOO_LONG", "too long", "Name")
    async with at_work(fake) as desk:
        desk.put(*stranger("cus_1", "ada@engines.example"))
        await desk.done()
    assert outcomes(desk.log) == [("Account:cus_1", "dead-lettered"), ("Contact:cus_1", "created")]


async def test_a_new_parent_that_is_refused_takes_its_child_along() -> None:
    fake = FakeSalesforce()
    fake.refuse("Account:cus_1", "STRING_TOO_LONG", "too long", "Name")
    async with at_work(fake) as desk:
        desk.put(*stranger("cus_1", "ada@engines.example"))
        await desk.done()
    assert {outcome for _, outcome in outcomes(desk.log)} == {"dead-lettered"}
    assert [object_ for object_, _ in fake.sent] == ["Account"]


async def test_giving_partitions_up_ends_the_window_in_flight_first() -> None:
    fake = FakeSalesforce()
    gate = asyncio.Event()

    async def hold(operation: str) -> None:
        if operation == "upsert":
            await gate.wait()

    fake.before = hold
    async with at_work(fake) as desk:
        desk.put(account("cus_1"))
        async with asyncio.timeout(60):
            while not fake.sent:  # noqa: ASYNC110
                await asyncio.sleep(0)
        leaving = asyncio.create_task(desk.dispatcher.give_up())
        await asyncio.sleep(0)
        gate.set()
        await leaving
        assert desk.log.committed[0] == (1, "")
        assert outcomes(desk.log) == [("Account:cus_1", "created")]
        desk.own(0, 1, 2, 3)
        desk.put(account("cus_1", 2))
        await desk.done()
    # What was confirmed is forgotten with the partition: another writer may have changed it since.
    assert [result.outcome for result in desk.log.results] == ["created", "updated"]


async def test_a_window_that_hangs_is_abandoned_without_a_commit() -> None:
    fake = FakeSalesforce()
    hanging = True

    async def hold(operation: str) -> None:
        if operation == "upsert" and hanging:
            await asyncio.Event().wait()

    fake.before = hold
    async with at_work(fake) as desk:
        desk.put(account("cus_1"))
        async with asyncio.timeout(60):
            while not fake.sent:  # noqa: ASYNC110
                await asyncio.sleep(0)
        await desk.dispatcher.give_up()
        assert not desk.log.told
        assert desk.log.committed.get(0, (0, ""))[0] == 0
        hanging = False
        desk.own(0, 1, 2, 3)
        await desk.done()
    assert outcomes(desk.log) == [("Account:cus_1", "created")]


async def test_without_partitions_a_trial_that_comes_due_is_left_alone() -> None:
    class Glances(MemoryLog):
        count = 0

        def behind(self) -> int:
            self.count += 1
            return 0

    called = asyncio.Event()

    async def before(operation: str) -> None:
        if operation == "upsert":
            called.set()

    log = Glances()
    fake = FakeSalesforce()
    fake.fail("upsert", times=1000)
    fake.before = before
    async with at_work(fake, log) as desk:
        desk.put(account("cus_1"))
        await asyncio.wait_for(called.wait(), DEADLINE)
        await desk.dispatcher.give_up()  # ends the window, which closes the gate
        assert desk.dispatcher.trouble == {"all": "away"}
        log.count = 0
        for _ in range(20):  # far longer than the gate stays closed
            await asyncio.sleep(QUICK.away[1] / 4)
        assert log.count <= 1, "it does not sleep: it looks for a window again and again"
        fake.faults.clear()
        desk.own(0)
        (result,) = await desk.done()
    assert result.outcome == "created"


async def test_a_trial_that_comes_due_while_a_window_gathers_rows_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0

    def linger(usage: Usage | None, base: float) -> float:
        nonlocal looks
        looks += 1
        return base

    monkeypatch.setattr(budget, "linger", linger)
    fake = FakeSalesforce()
    fake.fail("upsert")
    config = settings(writer={"linger_seconds": 20 * QUICK.away[0]})
    async with at_work(fake, config=config) as desk:

        async def before(operation: str) -> None:
            if operation == "upsert" and not desk.log.writes[1]:
                desk.put(account("cus_2"), partition=1)  # opens a window, and then the gate closes

        fake.before = before
        desk.put(account("cus_1"))
        await desk.done()
    assert fake.calls["upsert"] == 2, "both go with the window that was open"
    assert looks < 20, "it does not sleep: it looks for a window again and again"


async def test_when_too_much_is_held_fetching_is_to_pause() -> None:
    fake = FakeSalesforce()
    fake.drop_field("Account", "Phone")
    async with at_work(fake, config=settings(writer={"window_rows": 10})) as desk:
        desk.put(*(account(f"cus_{n}") for n in range(30)))
        assert desk.dispatcher.full
        assert not desk.dispatcher.roomy
        fake.fields["Account"].add("Phone")
        await desk.done()
        assert not desk.dispatcher.full
        assert desk.dispatcher.roomy


async def test_no_customer_is_ever_in_two_calls_at_once() -> None:
    fake = FakeSalesforce(seed=3)
    async with at_work(fake) as desk:
        for n in range(1500):
            desk.put(account(f"cus_{n}"), contact(f"cus_{n}"), partition=n % 4)
        await desk.done()
    assert fake.overlaps == []
    assert len(desk.log.results) == 3000
    assert fake.calls["upsert"] == 16


async def test_a_user_who_may_not_see_the_limits_goes_by_the_header() -> None:
    fake = FakeSalesforce(limit=1000)
    forbidden = RequestError(Kind.CONFIGURATION, "INSUFFICIENT_ACCESS", "", 403)
    async with at_work(fake, config=settings(salesforce={"budget_share": 0.5})) as desk:
        desk.put(account("cus_1"))
        await desk.done()
        fake.fail("limits", forbidden, times=10_000)
        fake.used = 550
        desk.put(account("cus_2"))
        await desk.done()
        asked = fake.calls["limits"]
        desk.put(account("cus_3"))
        async with asyncio.timeout(60):
            while fake.calls["limits"] < asked + 3:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert desk.dispatcher.trouble == {"all": "quota"}
        fake.used = 10
        await desk.done()
        assert desk.dispatcher.trouble == {}
