"""Invoices and payments as activities, and what the Account says was paid."""

from __future__ import annotations

from typing import Any

import pytest

from agents import invoices, mapping, payments
from stream.records import Reference
from stream.settings import CUSTOMER_ID_FIELD, DEFAULT_MAPPING, Settings
from tests.money import after, charge, events, invoice, note, refund, said

AT = 1_785_542_400  # 2026-08-01
DAY = 86_400
LINE = {"id": "il_1", "amount": 1000, "period": {"start": AT, "end": AT + 31 * DAY}}
BILL: dict[str, Any] = {
    "created": AT,
    "hosted_invoice_url": "https://pay.example/1",
    "lines": {"data": [LINE]},
    "status_transitions": {"finalized_at": AT + DAY},
}
PAID: dict[str, Any] = {
    **BILL,
    "amount_paid": 1000,
    "status_transitions": {"finalized_at": AT + DAY, "paid_at": AT + 2 * DAY},
}


def test_a_paid_invoice_is_a_completed_task() -> None:
    told = said(invoices.project, after(events(("invoice.paid", invoice("paid", **PAID), AT + 2 * DAY))))
    assert told.fields("Task:in_1") == {
        "Subject": "Invoice RS-1 is paid: 10.00 USD",
        "Status": "Completed",
        "Priority": "Normal",
        "ActivityDate": "2026-08-03",
        "Description": "Amount due: 10.00 USD\nPaid: 10.00 USD\nPeriod: 2026-08-01 to 2026-09-01\n"
        "Page: https://pay.example/1",
    }
    assert told.writes["Task:in_1"].parents == {"What": Reference("Account", CUSTOMER_ID_FIELD, "cus_1")}


def test_one_payment_told_three_times_is_one_task_as_the_newest_has_it() -> None:
    paid, is_open = invoice("paid", **PAID), invoice("open", **BILL)
    told = events(
        ("invoice.paid", paid, AT + 2 * DAY),
        ("invoice.payment_succeeded", paid, AT + 2 * DAY),
        ("invoice.finalized", is_open, AT + DAY),
    )
    written = said(invoices.project, after(told))
    assert written.writes.keys() == {"Task:in_1"}
    assert written.fields("Task:in_1")["Subject"] == "Invoice RS-1 is paid: 10.00 USD"
    late = said(invoices.project, after(told, about=1))
    assert late.fields("Task:in_1") == written.fields("Task:in_1")


@pytest.mark.parametrize("status", ["draft", "deleted", "something_new"])
def test_what_is_no_document_yet_is_no_activity(status: str) -> None:
    assert (
        said(invoices.project, after(events(("invoice.updated", invoice(status, **BILL), AT)))).writes == {}
    )


@pytest.mark.parametrize(
    ("status", "words"), [("open", "is open"), ("void", "was voided"), ("uncollectible", "was written off")]
)
def test_every_end_has_its_words(status: str, words: str) -> None:
    told = said(invoices.project, after(events(("invoice.updated", invoice(status, **BILL), AT))))
    assert told.fields("Task:in_1")["Subject"] == f"Invoice RS-1 {words}: 10.00 USD"


def test_a_credit_note_is_told_on_its_invoice() -> None:
    told = events(("invoice.paid", invoice("paid", **PAID), AT), ("credit_note.created", note(), AT + DAY))
    assert (
        "Credited: 5.00 USD"
        in said(invoices.project, after(told, about=1)).fields("Task:in_1")["Description"]
    )
    voided = events(*[(t.ref.type, invoice("paid", **PAID), AT) for t in told[:1]],
                    ("credit_note.voided", note("void"), AT + DAY))  # fmt: skip
    assert "Credited" not in said(invoices.project, after(voided)).fields("Task:in_1")["Description"]


def test_a_charge_follows_its_refunds() -> None:
    card: dict[str, Any] = {"payment_method_details": {"card": {"brand": "visa", "last4": "4242"}}}
    paid = ("charge.succeeded", charge(**card, created=AT), AT)
    told = said(invoices.project, after(events(paid)))
    assert told.fields("Task:ch_1")["Subject"] == "Payment of 10.00 USD"
    assert told.fields("Task:ch_1")["Description"] == "Status: succeeded\nCard: visa 4242"
    given = said(invoices.project, after(events(paid, ("refund.created", refund(), AT + DAY)), about=1))
    assert given.fields("Task:ch_1")["Subject"] == "Payment of 10.00 USD, 3.00 USD given back"


def test_a_failed_charge_says_why() -> None:
    it = charge(status="failed", amount_captured=0, outcome={"reason": "expired_card"})
    told = said(invoices.project, after(events(("charge.failed", it, AT))))
    assert told.fields("Task:ch_1")["Subject"] == "Payment of 10.00 USD failed: the card has expired"


def test_neither_or_one_of_them_by_setting() -> None:
    told = events(("invoice.paid", invoice("paid", **PAID), AT), ("charge.succeeded", charge(), AT))
    for of, keys in (([], set()), (["charges"], {"Task:ch_1"}), (["invoices"], {"Task:in_1"})):
        only = Settings(activities={"of": of})  # type: ignore[arg-type]
        assert said(invoices.project, after(told, only)).writes.keys() == keys


def test_records_of_custom_objects_where_the_mapping_has_them() -> None:
    wanted = {
        "Name": "number",
        "Amount__c": "amount",
        "Paid__c": "amount_paid",
        "Currency__c": "currency",
        "Status__c": "stripe_status",
        "From__c": "period_start",
        "To__c": "period_end",
        "Page__c": "page",
    }
    own = {**DEFAULT_MAPPING, "Stripe_Invoice__c": wanted, "Stripe_Charge__c": {"Amount__c": "amount"}}
    mapping.check(own)
    told = events(("invoice.paid", invoice("paid", **PAID), AT), ("charge.succeeded", charge(), AT))
    written = said(invoices.project, after(told, Settings(mapping=own)))
    assert written.fields("Stripe_Invoice__c:in_1") == {
        "Name": "RS-1",
        "Amount__c": 10.0,
        "Paid__c": 10.0,
        "Currency__c": "USD",
        "Status__c": "paid",
        "From__c": "2026-08-01",
        "To__c": "2026-09-01",
        "Page__c": "https://pay.example/1",
    }
    assert written.writes["Stripe_Charge__c:ch_1"].parents.keys() == {"Account__r"}


def test_what_has_left_the_window_is_told_by_its_own_end() -> None:
    months = [
        (
            "invoice.paid",
            invoice("paid", **{**PAID, "id": f"in_{n}", "created": AT + 30 * DAY * n}),
            AT + 30 * DAY * n,
        )
        for n in range(150)
    ]
    told = events(*months, months[0], ("invoice.finalized", invoice(**{**BILL, "id": "in_1"}), AT + 30 * DAY))
    held = after(told, about=2)
    assert "in_0" not in held.state.mapping.payments.invoices.by_id
    written = said(invoices.project, held)
    assert written.writes.keys() == {"Task:in_0"}
    assert written.writes["Task:in_0"].version == AT


# The Account


SOURCES = (
    "lifetime_value",
    "lifetime_values",
    "last_payment_amount",
    "last_payment_currency",
    "last_payment_date",
)


def account(*told: tuple[Any, ...]) -> list[Any]:
    touched = after(events(*told))
    return [mapping.ACCOUNT[name](touched) for name in SOURCES]


def test_an_account_that_paid_nothing() -> None:
    assert account() == [0.0, None, None, None, None]


def test_an_account_with_two_currencies() -> None:
    yen = charge("ch_2", 1500, currency="jpy", created=AT + DAY)
    told = account(("charge.succeeded", charge(created=AT), AT), ("charge.succeeded", yen, AT + DAY))
    assert told == [10.0, "1,500 JPY; 10.00 USD", 1500.0, "JPY", "2026-08-02"]


def test_a_cheque_is_a_payment_too() -> None:
    paid = invoice("paid", **PAID, paid_out_of_band=True)
    assert account(("invoice.paid", paid, AT + 2 * DAY)) == [10.0, "10.00 USD", 10.0, "USD", "2026-08-03"]


# What cannot be right


def test_an_unknown_currency_is_refused_and_left_out() -> None:
    strange = ("charge.succeeded", charge("ch_2", 77, currency="zzz"), AT)
    told = events(("charge.succeeded", charge(created=AT), AT), strange)
    refusals = said(payments.project, after(told)).refusals
    assert [(one.event.object.id, one.code) for one in refusals] == [("ch_2", "currency_unknown")]
    assert "`zzz`" in refusals[0].message
    assert said(invoices.project, after(told)).writes.keys() == {"Task:ch_1"}
    assert account(("charge.succeeded", charge(created=AT), AT), strange)[:2] == [10.0, "10.00 USD"]


@pytest.mark.parametrize("late", [False, True])
def test_a_refund_larger_than_its_charge_is_refused_and_counted_up_to_it(late: bool) -> None:
    both = [
        ("charge.succeeded", charge(created=AT), AT),
        ("refund.created", refund(amount=1500, created=AT + 1), AT + 1),
    ]
    told = events(*(both[::-1] if late else both))
    refusals = said(payments.project, after(told, about=1)).refusals
    assert [one.code for one in refusals] == ["refund_exceeds_charge"]
    assert "15.00 USD" in refusals[0].message
    assert "10.00 USD" in refusals[0].message
    assert account(*both)[0] == 0.0


def test_a_refund_before_its_capture_is_not_refused() -> None:
    held = charge(captured=False, amount_captured=0)
    told = after(events(("refund.created", refund(amount=1000), 110), ("charge.succeeded", held, 100)))
    assert said(payments.project, told).refusals == []
    told = after(events(("refund.created", refund(amount=1001), 110), ("charge.succeeded", held, 100)))
    assert [refusal.code for refusal in said(payments.project, told).refusals] == [
        "refund_exceeds_charge"
    ] * 2
    failed = charge(status="failed", amount_captured=0)
    told = after(events(("refund.created", refund(), 110), ("charge.failed", failed, 100)))
    assert len(said(payments.project, told).refusals) == 2


def test_what_is_only_authorised_says_so() -> None:
    told = after(events(("charge.succeeded", charge(captured=False, amount_captured=0), 100)))
    task = said(invoices.project, told).fields("Task:ch_1")
    assert task["Subject"] == "Payment of 10.00 USD authorised, not captured"


def test_what_was_not_captured_is_not_given_back() -> None:
    part = charge(amount_captured=700, amount_refunded=300, invoice=None)
    told = after(events(("charge.captured", part, 100), ("refund.created", refund(), 100)))
    assert said(payments.project, told).refusals == []
    task = said(invoices.project, told).fields("Task:ch_1")
    assert task["Subject"] == "Payment of 7.00 USD"
    assert "Authorised: 10.00 USD" in task["Description"]
    assert "Given back" not in task["Description"]
    more = charge(amount_captured=700, amount_refunded=400, invoice=None)
    told = after(events(("charge.captured", part, 100), ("charge.refunded", more, 110)))
    assert (
        said(invoices.project, told).fields("Task:ch_1")["Subject"]
        == "Payment of 7.00 USD, 1.00 USD given back"
    )


def test_a_refund_before_its_charge_is_not_refused() -> None:
    told = events(("refund.created", refund(created=AT + 1), AT + 1))
    assert said(payments.project, after(told)).refusals == []
