"""Failure, retry, recovery: the Account's risk, the owner's Task, what people are told."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from agents import failed_payments, mapping
from agents.declines import in_words
from stream.records import Owner, Reference
from stream.settings import CUSTOMER_ID_FIELD, Settings
from tests.money import after, charge, events, invoice, said

AT = 1_785_542_400  # 2026-08-01
DAY = 86_400

BILL: dict[str, Any] = {
    "created": AT - 10,
    "amount_remaining": 1000,
    "hosted_invoice_url": "https://pay.example/1",
}
FINAL = ("invoice.finalized", invoice(**BILL), AT - 5)
DECLINED = (
    "charge.failed",
    charge(
        status="failed",
        captured=False,
        amount_captured=0,
        created=AT,
        failure_code="card_declined",
        outcome={"reason": "insufficient_funds"},
    ),
    AT,
)
FAILED = (
    "invoice.payment_failed",
    invoice(**BILL, attempt_count=1, next_payment_attempt=AT + 3 * DAY),
    AT + 1,
)
AGAIN = (
    "invoice.payment_failed",
    invoice(**BILL, attempt_count=2, next_payment_attempt=AT + 8 * DAY),
    AT + 3 * DAY,
)
PAID = (
    "invoice.paid",
    invoice("paid", **{**BILL, "amount_remaining": 0}, amount_paid=1000, attempt_count=3),
    AT + 8 * DAY,
)
RISK = ("at_risk", "at_risk_reason", "amount_due", "attempt_count", "next_attempt")


def risk(*told: tuple[Any, ...]) -> list[Any]:
    touched = after(events(*told))
    return [mapping.ACCOUNT[name](touched) for name in RISK]


def test_nothing_is_at_risk_before_anything_failed() -> None:
    assert risk(FINAL) == [False, None, None, None, None]


def test_a_failure_marks_the_account() -> None:
    words = "there is not enough money on the account"
    assert risk(FINAL, DECLINED, FAILED) == [True, words, 10.0, 1, "2026-08-04"]


def test_another_failure_updates_it() -> None:
    assert risk(FINAL, FAILED, AGAIN) == [True, "the payment failed", 10.0, 2, "2026-08-09"]


@pytest.mark.parametrize(
    "end",
    [
        PAID,
        ("invoice.voided", invoice("void", **BILL, attempt_count=1), AT + DAY),
        ("invoice.marked_uncollectible", invoice("uncollectible", **BILL, attempt_count=1), AT + DAY),
    ],
    ids=["paid", "voided", "written off"],
)
def test_the_end_clears_it_and_closes_the_task(end: tuple[Any, ...]) -> None:
    for order in permutations((FINAL, DECLINED, FAILED, end)):
        assert risk(*order) == [False, None, None, None, None]
        told = said(failed_payments.project, after(events(*order)))
        assert told.fields("Task:in_1:payment")["Status"] == "Completed"


def test_the_task_is_the_owners_and_says_what_to_do() -> None:
    told = said(failed_payments.project, after(events(FINAL, DECLINED, FAILED)))
    write = told.writes["Task:in_1:payment"]
    assert write.fields == {
        "Subject": "10.00 USD could not be collected: there is not enough money on the account (RS-1)",
        "Status": "Not Started",
        "Priority": "High",
        "ActivityDate": "2026-08-02",
        "Description": "Invoice: RS-1\nAmount due: 10.00 USD\nRemaining: 10.00 USD\n"
        "Reason: there is not enough money on the account\nAttempts: 1\nNext attempt: 2026-08-04\n"
        "Page: https://pay.example/1",
    }
    assert write.owner == Owner("What", None)
    assert write.parents == {"What": Reference("Account", CUSTOMER_ID_FIELD, "cus_1")}


def test_any_order_and_any_chunks_end_in_the_same_task() -> None:
    """Each event in a chunk of its own: the last write of the record is the same in every order."""
    ends = set()
    for order in permutations((FINAL, DECLINED, FAILED, AGAIN, PAID)):
        last: Any = None
        told = events(*order)
        for end in range(1, len(told) + 1):
            written = said(failed_payments.project, after(told[:end], about=1)).writes
            last = written.get("Task:in_1:payment", last)
        ends.add((tuple(last.fields.items()), last.version))
    assert len(ends) == 1


def test_one_task_per_invoice() -> None:
    other = {**BILL, "id": "in_2", "attempt_count": 1}
    told = events(FAILED, AGAIN, ("invoice.payment_failed", invoice(**other), AT + 2))
    assert said(failed_payments.project, after(told)).writes.keys() == {
        "Task:in_1:payment",
        "Task:in_2:payment",
    }


def test_people_are_told_once_for_each_attempt() -> None:
    told = said(failed_payments.project, after(events(FINAL, DECLINED, FAILED, FAILED, AGAIN, PAID)))
    assert [notice.id for notice in told.notices] == ["in_1:failed:1", "in_1:failed:1", "in_1:failed:2"]
    first = told.notices[0]
    assert (first.workflow, first.amount, first.currency) == ("payment_failed", "10.00", "USD")
    assert first.facts == {
        "customer": "Ada Lovelace",
        "invoice": "RS-1",
        "reason": "there is not enough money on the account",
        "attempts": 1,
        "next_attempt": "2026-08-04",
        "link": "https://pay.example/1",
    }


def test_a_confirmation_that_is_asked_for_and_a_due_date_that_passed_count_too() -> None:
    asked = ("invoice.payment_action_required", invoice(**BILL, attempt_count=1), AT)
    assert risk(FINAL, asked)[:2] == [True, "the payer has to confirm the payment"]
    overdue = ("invoice.overdue", invoice(**BILL), AT)
    assert risk(FINAL, overdue)[:2] == [True, "the invoice is overdue"]


@pytest.mark.parametrize(("status", "at_risk"), [("past_due", True), ("unpaid", True), ("active", False)])
def test_a_subscription_that_is_behind_is_a_risk(status: str, at_risk: bool) -> None:
    subscription = {
        "id": "sub_1",
        "customer": "cus_1",
        "status": status,
        "currency": "usd",
        "items": {"data": []},
    }
    assert risk(("customer.subscription.updated", subscription, AT))[0] is at_risk


def test_currencies_are_never_added() -> None:
    euros = invoice(**BILL, id="in_2", currency="eur", attempt_count=1)
    assert risk(FAILED, ("invoice.payment_failed", euros, AT + 9))[2] == 10.0
    assert risk(FAILED, ("invoice.payment_failed", {**euros, "currency": "usd"}, AT + 9))[2] == 20.0


def test_the_reason_is_not_that_of_another_moment_or_amount() -> None:
    type_, it, _ = DECLINED
    for other in ({"created": AT - 2 * DAY}, {"amount": 999}, {"currency": "eur"}, {"invoice": "in_9"}):
        assert risk(FINAL, (type_, {**it, **other}, AT), FAILED)[1] == "the payment failed"


def test_a_charge_that_names_its_invoice_goes_before_one_alike() -> None:
    type_, it, _ = DECLINED
    named = {**it, "id": "ch_2", "invoice": "in_1", "amount": 7, "outcome": {"reason": "expired_card"}}
    assert risk(FINAL, (type_, named, AT), DECLINED, FAILED)[1] == "the card has expired"


def test_the_task_can_be_switched_off_and_have_a_substitute() -> None:
    told = events(FAILED)
    off = Settings(failed_payments={"task": False})  # type: ignore[arg-type]
    assert said(failed_payments.project, after(told, off)).writes == {}
    user = "005000000000001AAA"
    named = Settings(failed_payments={"fallback_owner": user, "due_days": 3})  # type: ignore[arg-type]
    write = said(failed_payments.project, after(told, named)).writes["Task:in_1:payment"]
    assert write.owner == Owner("What", user)
    assert write.fields["ActivityDate"] == "2026-08-04"


def test_a_new_decline_code_is_readable() -> None:
    assert in_words("moon_in_retrograde") == "moon in retrograde"
