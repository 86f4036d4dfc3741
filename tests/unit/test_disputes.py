"""Disputes and early fraud warnings as Cases."""

from __future__ import annotations

from typing import Any

import pytest

from agents import disputes
from stream.records import Reference
from stream.settings import CUSTOMER_ID_FIELD, Settings
from tests.money import after, charge, dispute, events, refund, said, warning

AT = 1_785_542_400  # 2026-08-01
DAY = 86_400
OPEN: dict[str, Any] = {
    "created": AT,
    "reason": "product_not_received",
    "evidence_details": {"due_by": AT + 9 * DAY},
}


def test_a_dispute_opens_a_case_and_people_are_told() -> None:
    told = events(("charge.dispute.created", dispute("needs_response", **OPEN), AT))
    written = said(disputes.project, after(told))
    assert written.fields("Case:du_1") == {
        "Subject": "Dispute of 10.00 USD: product not received",
        "Status": "New",
        "Priority": "High",
        "Origin": None,
        "Description": "Amount: 10.00 USD\nReason: product not received\nCharge: ch_1\n"
        "Status: needs_response\nAnswer by: 2026-08-10",
    }
    assert written.writes["Case:du_1"].parents == {
        "Account": Reference("Account", CUSTOMER_ID_FIELD, "cus_1"),
        "Contact": Reference("Contact", CUSTOMER_ID_FIELD, "cus_1"),
    }
    (notice,) = written.notices
    assert (notice.id, notice.workflow, notice.amount, notice.currency) == (
        "du_1:opened",
        "dispute",
        "10.00",
        "USD",
    )
    assert notice.facts["due"] == "2026-08-10"


@pytest.mark.parametrize(
    ("status", "stage", "ending"),
    [
        ("needs_response", "New", ""),
        ("under_review", "Working", ""),
        ("won", "Closed", " (won)"),
        ("lost", "Closed", " (lost)"),
        ("warning_needs_response", "New", ""),
        ("warning_closed", "Closed", " (closed without a dispute)"),
        ("something_new", "New", ""),
    ],
)
def test_the_case_follows_the_dispute(status: str, stage: str, ending: str) -> None:
    told = events(
        ("charge.dispute.closed", dispute(status, **OPEN), AT + DAY),
        ("charge.dispute.created", dispute("needs_response", **OPEN), AT),
    )
    fields = said(disputes.project, after(told, about=1)).fields("Case:du_1")
    kind = "Inquiry" if status.startswith("warning") else "Dispute"
    assert (fields["Status"], fields["Subject"]) == (
        stage,
        f"{kind} of 10.00 USD: product not received{ending}",
    )


def test_within_one_second_the_end_holds() -> None:
    told = events(
        ("charge.dispute.closed", dispute("won", **OPEN), AT),
        ("charge.dispute.updated", dispute("under_review", **OPEN), AT),
    )
    assert said(disputes.project, after(told)).fields("Case:du_1")["Status"] == "Closed"


def test_a_warning_is_a_case_until_the_money_is_given_back() -> None:
    paid = ("charge.succeeded", charge(created=AT), AT)
    warned = ("radar.early_fraud_warning.created", warning(created=AT + 5), AT + 5)
    fields = said(disputes.project, after(events(paid, warned))).fields("Case:issfr_1")
    assert (fields["Subject"], fields["Status"], fields["Priority"]) == (
        "Early fraud warning on 10.00 USD: made with stolen card", "New", "High")  # fmt: skip
    given = ("refund.created", refund(amount=1000, created=AT + 9), AT + 9)
    for order in ((paid, warned, given), (given, warned, paid), (warned, paid, given)):
        told = events(*order)
        assert said(disputes.project, after(told, about=1)).fields("Case:issfr_1")["Status"] == "Closed"


def test_a_warning_before_its_charge_says_what_is_known() -> None:
    told = events(("radar.early_fraud_warning.created", warning(), AT))
    fields = said(disputes.project, after(told)).fields("Case:issfr_1")
    assert fields["Subject"] == "Early fraud warning: made with stolen card"


def test_warnings_can_be_switched_off_and_stages_renamed() -> None:
    own = Settings(disputes={"fraud_warnings": False, "statuses": {"open": "Fresh"}})  # type: ignore[arg-type]
    told = events(
        ("radar.early_fraud_warning.created", warning(), AT),
        ("charge.dispute.created", dispute("needs_response", **OPEN), AT),
    )
    written = said(disputes.project, after(told, own))
    assert written.writes.keys() == {"Case:du_1"}
    assert written.fields("Case:du_1")["Status"] == "Fresh"


def test_an_unknown_currency_makes_no_case() -> None:
    told = events(("charge.dispute.created", dispute("needs_response", **OPEN, currency="zzz"), AT))
    assert said(disputes.project, after(told)).writes == {}
