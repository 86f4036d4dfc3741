from __future__ import annotations

import msgspec
import pytest

from stream.sandbox.salesforce.faults import Fault, Faults

CALL = {"operation": "query", "object_": "Account", "method": "GET", "path": "/query"}


def times(faults: Faults, **call: str) -> list[bool]:
    return [bool(faults.of_call(**{**CALL, **call})) for _ in range(4)]


def test_a_fault_happens_as_often_as_told() -> None:
    faults = Faults(lambda: 0.0)
    faults.arm(Fault("drop", times=2, skip=1))
    assert times(faults) == [False, True, True, False]
    faults.arm(Fault("drop", times=None))
    assert times(faults) == [True] * 4
    faults.clear()
    assert times(faults) == [False] * 4


@pytest.mark.parametrize(
    "about",
    [{"operation": "create"}, {"object": "Contact"}, {"method": "POST"}, {"path": "/sobjects"}],
)
def test_a_fault_matches_what_it_says(about: dict[str, str]) -> None:
    faults = Faults(lambda: 0.0)
    faults.arm(msgspec.convert({"do": "drop"} | about, Fault))
    assert times(faults) == [False] * 4
    other = {"operation": "create", "object_": "Contact", "method": "POST", "path": "/sobjects/Contact"}
    assert times(faults, **other) == [True, False, False, False]


def test_a_fault_ends_by_itself() -> None:
    now = 0.0
    faults = Faults(lambda: now)
    faults.arm(Fault("drop", times=None, for_seconds=5))
    assert times(faults) == [True] * 4
    now = 5.0
    assert times(faults) == [False] * 4
    assert faults.waiting() == []


def test_one_fault_of_each_kind_per_call() -> None:
    faults = Faults(lambda: 0.0)
    for fault in (Fault("delay", seconds=1), Fault("answer", status=500), Fault("answer", status=503)):
        faults.arm(fault)
    first, second = (faults.of_call(**CALL) for _ in range(2))
    assert [(fault.do, fault.status) for fault in first] == [("delay", 500), ("answer", 500)]
    assert [fault.status for fault in second] == [503]


def test_a_login_has_no_token_to_expire() -> None:
    faults = Faults(lambda: 0.0)
    faults.arm(Fault("expire-tokens"))
    assert times(faults, operation="login") == [False] * 4
    assert times(faults) == [True, False, False, False]


def test_rows_are_refused_and_counted_once_settled() -> None:
    faults = Faults(lambda: 0.0)
    faults.arm(Fault("refuse-rows", object="Account", external_ids=("cus_1",), code="X", message="no"))
    for _ in range(2):  # an attempt that is not settled uses nothing up
        attempt = faults.rows()
        assert attempt.refusal("Contact", {"Ext": "cus_1"}) is None
        assert attempt.refusal("Account", {"Ext": "cus_2"}) is None
        error = attempt.refusal("Account", {"Ext": "cus_1"})
        assert error is not None
        assert (error.code, error.message) == ("X", "no")
        assert attempt.refusal("Account", {"Ext": "cus_1"}) is None
    attempt.settle()
    assert faults.waiting() == []


def test_rows_may_go_well_first() -> None:
    faults = Faults(lambda: 0.0)
    faults.arm(Fault("refuse-rows", times=2, skip=2))
    attempt = faults.rows()
    assert [attempt.refusal("Account", {}) is not None for _ in range(6)] == [False] * 2 + [True] * 2 + [
        False
    ] * 2
    attempt.settle()
    assert faults.waiting() == []


def test_a_job_fails_once() -> None:
    faults = Faults(lambda: 0.0)
    faults.arm(Fault("fail-job", object="Account", rows=3))
    assert faults.of_call(**CALL) == []
    assert faults.of_job("Contact", "upsert") is None
    assert faults.of_job("Account", "upsert") is not None
    assert faults.of_job("Account", "upsert") is None
