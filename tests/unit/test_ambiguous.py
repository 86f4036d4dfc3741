"""What the demo expects of customers whom several of Salesforce's records could be."""

from __future__ import annotations

from typing import Any

import pytest

from stream.sandbox import expected
from stream.sandbox.expected import ambiguous
from stream.sandbox.expected.customers import KEY
from stream.sandbox.stripe.identities import Mixture
from stream.sandbox.stripe.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return World(7, 30, mixture=Mixture(ambiguous=0.3), events=20)


def test_nothing_is_expected_of_them(world: World) -> None:
    doubtful = ambiguous.identities(world)
    assert {who.known for who in doubtful.values()} == {"ambiguous-email", "ambiguous-company"}
    records = expected.records(world)
    assert not doubtful.keys() & {*records["Account"], *records["Contact"], *expected.earlier(world)}
    assert len(records["Account"]) == 30 - len(doubtful)
    told = str(records["Task"]) + str(records["CampaignMember"])
    assert not any(key in told for key in doubtful)
    # What people have open with them stays as it is.
    for key in doubtful:
        assert records["Opportunity"][f"{key} upsell"]["StageName"] == "Qualification"


def test_each_has_two_candidates_that_are_alike(world: World) -> None:
    pairs = ambiguous.candidates(world)
    assert pairs[::2] == pairs[1::2]
    assert len(pairs) == 2 * len(ambiguous.identities(world))


def test_candidates_are_to_stay_as_they_were() -> None:
    wanted = ambiguous.untouched({"001A": {"Name": "Acme"}, "001B": {"Name": "Acme"}})
    held: list[dict[str, Any]] = [
        {"Id": "001A", "Name": "Acme", KEY: None},
        {"Id": "001B", "Name": "Acme", KEY: "cus_1"},
    ]
    count, wrong = expected.compare(wanted, expected.key_all("Account", held), {})
    assert count == 2
    assert wrong == ["cus_1: not expected", "001B: missing"]


def test_dead_letters_are_theirs_and_of_that_reason(world: World) -> None:
    causes = {key: {f"Account:{key}": "ambiguous_match: 2"} for key in ambiguous.identities(world)}
    assert ambiguous.set_aside(world, causes) == (len(causes), [])
    first = next(iter(causes))
    causes[first] = {f"Account:{first}": "STRING_TOO_LONG: Name"}
    causes["cus_other"] = {"Task:ch_1": "parent_missing: gone"}
    count, wrong = ambiguous.set_aside(world, causes)
    assert count == len(causes)
    assert wrong == [
        "cus_other: Task:ch_1 was set aside (parent_missing: gone)",
        f"{first}: STRING_TOO_LONG: Name instead of ambiguous_match",
    ]
