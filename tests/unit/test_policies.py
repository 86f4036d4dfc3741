"""Who has the say over a field."""

from __future__ import annotations

import pytest

from agents import policies
from agents.events import State
from agents.projector import Emitted, emit, fold_chunk, settle
from stream.records import Write
from stream.settings import SettingError, Settings
from stream.stripe.catalogue import Entries
from tests.touched import record

POLICIES = Settings(policies={"Account": {"Phone": "if-empty", "BillingCity": "if-empty", "Name": "never"}})


def account(settings: Settings) -> Write:
    customer = {"id": "cus_1", "object": "customer", "name": "Ada", "phone": "+1"}
    folded = fold_chunk([record("customer.created", customer)], lambda _: State())
    settle(folded, "stripe.events", 0)
    emitted = Emitted()
    emit(folded, folded.touched, lambda _: Entries({}), settings, emitted)
    return emitted.writes[0]


def test_by_default_stripe_has_the_say() -> None:
    assert account(Settings()).if_empty == ()
    assert account(Settings()).fields["Name"] == "Ada"


def test_a_field_that_is_never_ours_is_left_out() -> None:
    assert "Name" not in account(POLICIES).fields


def test_a_field_that_people_may_own_is_set_only_where_nothing_stands() -> None:
    it = account(POLICIES)
    assert (it.if_empty, it.fields["Phone"]) == (("Phone",), "+1")
    assert "BillingCity" not in it.fields, "an empty field need not be emptied"


def test_the_writes_of_other_objects_are_as_they_were() -> None:
    write = account(Settings())
    assert policies.applied(write, Settings(policies={"Contact": {"Phone": "never"}})) is write


def test_a_policy_of_a_field_that_is_not_mapped_is_refused_with_its_name() -> None:
    with pytest.raises(SettingError, match=r"Fax under \[policies.Account\]"):
        policies.check(Settings(policies={"Account": {"Fax": "never"}}))
