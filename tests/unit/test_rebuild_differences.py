"""What a rebuild takes for a difference, and what it leaves to be done by others."""

from __future__ import annotations

import msgspec

from agents.rebuild.differences import Difference, Differences
from stream.records import Closing, Match, Write
from tests.fakes.writes import account, contact

GONE = Closing(("Upgrade",), 100, {"StageName": "Closed Lost"})


def found(asked: list[Write], after: list[Write], before: list[Write] | None = None) -> Differences:
    differences = Differences({write.key: write for write in asked})
    differences.compare(after, before)
    return differences


def test_a_record_is_compared_by_what_it_asks_of_salesforce() -> None:
    held = contact("cus_1", 1, match=Match("a@b.example"), Phone="1")
    again = msgspec.structs.replace(contact("cus_1", 2, Phone="1"), events=())
    assert found([held], [again]).found == {}
    other = contact("cus_1", 2, Phone="2", Fax="3")
    (difference,) = found([held], [other]).found.values()
    assert difference.fields == {"Fax": (None, "3"), "Phone": ("1", "2")}
    assert list(difference.lines()) == ["Contact cus_1", '  Fax: null → "3"', '  Phone: "1" → "2"']


def test_what_was_asked_for_counts_before_what_follows_from_the_old_row() -> None:
    right, wrong = account("cus_1", 1, Phone="1"), account("cus_1", 1, Phone="2")
    assert found([right], [right], [wrong]).found == {}
    assert found([], [right], [wrong]).found == {right.key: Difference(right, wrong)}
    assert found([], [right], []).found == {right.key: Difference(right)}
    # The row is the same, and what was asked for is not kept any more.
    assert found([], [right], None).found == {}


def test_nothing_older_is_put_over_what_was_asked_for() -> None:
    newer, older = account("cus_1", 2, Phone="2"), account("cus_1", 1, Phone="1")
    assert found([newer], [older]).found == {}
    assert found([], [newer, older], []).found == {newer.key: Difference(newer)}


def test_what_is_asked_for_and_not_told_any_more_is_named() -> None:
    assert found([account("cus_1"), contact("cus_1")], [account("cus_1")]).untold == ["Contact:cus_1"]
    assert found([], [account("cus_1")], [account("cus_1"), contact("cus_1")]).untold == ["Contact:cus_1"]


def test_what_cannot_be_taken_back_is_not_begun() -> None:
    gone = msgspec.structs.replace(account("cus_1", 2, Status="Churned"), closing=GONE)
    held = account("cus_1", 1, Status="Active")
    differences = found([held], [gone])
    assert [one.after.closing for one in differences.found.values()] == [None]
    assert differences.departed == {"cus_1"}
    # What had been asked for goes on as it was.
    differences = found([msgspec.structs.replace(held, closing=GONE)], [gone])
    assert [one.after.closing for one in differences.found.values()] == [GONE]
    assert differences.departed == set()

    member = msgspec.structs.replace(contact("cus_1"), object="CampaignMember")
    assert (found([], [member], []).found, found([], [member], []).departed) == ({}, {"cus_1"})
