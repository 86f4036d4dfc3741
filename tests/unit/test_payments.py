"""What is counted of a customer's money, and what is remembered of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.events import State, fold
from tables import ledger
from tables.lifetime import lifetime_value
from tables.payments import Payments
from tables.settling import DAYS, KEPT
from tests.money import charge, dispute, invoice, note, refund
from tests.touched import event

DAY = 86_400


Told = tuple[str, dict[str, Any], int]


def folded(*told: Told) -> Payments:
    state = State()
    for number, (type_, object_, created) in enumerate(told):
        state = fold(state, event(type_, object_, created=created, offset=number))
    return state.mapping.payments


PAID: Told = ("charge.succeeded", charge(), 100)


@pytest.mark.parametrize(
    ("told", "usd"),
    [
        pytest.param([PAID], 1000, id="a charge"),
        pytest.param([("charge.failed", charge(status="failed", amount_captured=0), 100)], None, id="failed"),
        pytest.param(
            [("charge.succeeded", charge(captured=False, amount_captured=0), 100)], None, id="not captured"
        ),
        pytest.param(
            [
                ("charge.succeeded", charge(captured=False, amount_captured=0), 100),
                ("charge.captured", charge(amount_captured=700), 105),
            ],
            700,
            id="captured in part",
        ),
        # Until basil what was authorised and not captured was given back by a refund of its own.
        pytest.param(
            [
                ("charge.succeeded", charge(captured=False, amount_captured=0, invoice=None), 100),
                ("charge.captured", charge(amount_captured=700, amount_refunded=300, invoice=None), 105),
                ("refund.created", refund(), 105),
                ("charge.refunded", charge(amount_captured=700, amount_refunded=400, invoice=None), 110),
                ("refund.created", refund("re_2", 100), 110),
            ],
            600,
            id="captured in part until basil",
        ),
        pytest.param(
            [
                ("charge.captured", charge(amount_captured=700, amount_refunded=300, invoice=None), 105),
                ("charge.refunded", charge(amount_captured=700, amount_refunded=400), 110),
            ],
            600,
            id="captured in part before the endpoint's version was raised",
        ),
        pytest.param(
            [
                ("charge.captured", charge(amount_captured=700, invoice=None), 105),
                ("charge.refunded", charge(amount_captured=700, amount_refunded=100, invoice=None), 110),
            ],
            600,
            id="captured in part by a newer version than the endpoint's",
        ),
        pytest.param(
            [
                (
                    "charge.refunded",
                    charge(
                        captured=False,
                        amount_captured=0,
                        amount_refunded=1000,
                        invoice=None,
                        refunds={"data": [refund(amount=1000)]},
                    ),
                    105,
                )
            ],
            0,
            id="an authorisation that was cancelled until basil",
        ),
        pytest.param([PAID, ("refund.created", refund(), 110)], 700, id="a refund alone"),
        pytest.param(
            [PAID, ("charge.refunded", charge(amount_refunded=300), 110)], 700, id="told by the charge alone"
        ),
        pytest.param(
            [
                PAID,
                ("charge.refunded", charge(amount_refunded=300), 110),
                ("refund.created", refund(), 110),
                ("charge.refund.updated", refund(reason="duplicate"), 111),
            ],
            700,
            id="a refund told four times",
        ),
        pytest.param(
            [
                PAID,
                ("charge.refunded", charge(amount_refunded=300, refunds={"data": [refund()]}), 110),
                ("charge.refunded", charge(amount_refunded=500), 111),
                ("refund.created", refund("re_2", 200), 111),
            ],
            500,
            id="two partial refunds, one of them listed",
        ),
        pytest.param(
            [
                PAID,
                ("charge.refunded", charge(amount_refunded=300), 110),
                ("refund.created", refund(status="pending"), 110),
                ("refund.failed", refund(status="failed"), 115),
            ],
            1000,
            id="a refund that failed, and stays in the charge's sum",
        ),
        pytest.param(
            [
                PAID,
                ("charge.refunded", charge(amount_refunded=300), 110),
                ("refund.failed", refund(status="failed"), 115),
                ("charge.updated", charge(amount_refunded=0), 116),
            ],
            1000,
            id="a refund that failed, and is taken off the charge's sum",
        ),
        pytest.param(
            [PAID, ("charge.dispute.created", dispute("needs_response"), 120)], 1000, id="contested"
        ),
        pytest.param([PAID, ("charge.dispute.closed", dispute(), 150)], 0, id="a dispute lost"),
        pytest.param([PAID, ("charge.dispute.closed", dispute("won"), 150)], 1000, id="a dispute won"),
        pytest.param(
            [PAID, ("invoice.paid", invoice("paid", amount_paid=1000), 100)], 1000, id="charge and invoice"
        ),
        pytest.param(
            [("invoice.paid", invoice("paid", amount_paid=1000, paid_out_of_band=True), 100)],
            1000,
            id="paid by cheque",
        ),
        pytest.param(
            [("invoice.paid", invoice("paid", amount_paid=1000, amount_paid_off_stripe=400), 100)],
            400,
            id="in part paid off Stripe",
        ),
        pytest.param(
            [PAID, ("credit_note.created", note(out_of_band_amount=200), 130)], 800, id="given back in cash"
        ),
        pytest.param(
            [
                PAID,
                ("credit_note.created", note(out_of_band_amount=200), 130),
                ("credit_note.voided", note("void", out_of_band_amount=200), 131),
            ],
            1000,
            id="a credit note voided",
        ),
        pytest.param(
            [PAID, ("refund.created", refund(amount=1500), 110)], 0, id="refunded beyond the charge"
        ),
    ],
)
def test_lifetime_value(told: list[Told], usd: int | None) -> None:
    assert lifetime_value(folded(*told)) == ({} if usd is None else {"usd": usd})
    assert folded(*told, *told) == folded(*reversed(told))


def test_currencies_are_never_added() -> None:
    other = ("charge.succeeded", charge("ch_2", 50, currency="jpy"), 100)
    assert lifetime_value(folded(PAID, other)) == {"usd": 1000, "jpy": 50}


def test_of_one_second_the_later_in_an_invoices_life_holds() -> None:
    told: list[Told] = [
        ("invoice.finalized", invoice(), 100),
        ("invoice.payment_failed", invoice(attempt_count=1, next_payment_attempt=500), 100),
        ("invoice.updated", invoice(attempt_count=1), 100),
        ("invoice.paid", invoice("paid", attempt_count=1, amount_paid=1000), 100),
    ]
    for end in range(1, 5):
        for order in (told[:end], told[:end][::-1]):
            held = folded(*order).invoices.by_id["in_1"].body
            assert (held.status, held.attempts, held.next_attempt) == [
                ("open", 0, None),
                ("open", 1, 500),
                ("open", 1, None),
                ("paid", 1, None),
            ][end - 1]


def test_the_worked_example_of_the_docs() -> None:
    paid = invoice("paid", amount_due=10_000, amount_paid=10_000)
    cheque = invoice("paid", id="in_2", amount_due=5000, amount_paid=5000, paid_out_of_band=True)
    failed = refund("re_2", 10_000, status="failed")
    told: list[Told] = [
        ("charge.succeeded", charge(amount=10_000), 100),
        ("invoice.paid", paid, 100),
        ("invoice.payment_succeeded", paid, 100),
        ("charge.failed", charge("ch_2", 7000, status="failed", amount_captured=0), 101),
        ("invoice.paid", cheque, 102),
        ("charge.refunded", charge(amount=10_000, amount_refunded=2000), 110),
        ("refund.created", refund(amount=2000), 110),
        ("refund.failed", failed, 111),
        ("credit_note.created", note(id="cn_1", total=1000), 112),
        ("credit_note.created", note(id="cn_2", total=500, out_of_band_amount=500), 113),
        ("charge.dispute.created", dispute("needs_response", amount=8000), 120),
    ]
    assert lifetime_value(folded(*told)) == {"usd": 12_500}
    lost: Told = ("charge.dispute.closed", dispute(amount=8000), 150)
    assert lifetime_value(folded(*told, lost)) == {"usd": 4500}
    page = (Path(__file__).parents[2] / "docs" / "reference" / "money.md").read_text()
    assert "| **lifetime value** | **45.00** |" in page


def history(months: int) -> list[Told]:
    """A payment a month, each third of which is refunded in part two days later."""
    told: list[Told] = []
    for month in range(months):
        at = 1_600_000_000 + 30 * DAY * month
        name = f"ch_{month:05d}"
        told.append(("charge.succeeded", charge(name, 1000, created=at), at))
        told.append(("invoice.paid", invoice("paid", id=f"in_{month:05d}", created=at, amount_paid=1000), at))
        if month % 3 == 0:
            back = at + 2 * DAY
            given = refund(f"re_{month:05d}", 300, charge=name, created=back)
            told.append(("charge.refunded", charge(name, 1000, created=at, amount_refunded=300), back))
            told.append(("refund.created", given, back))
    return told


def test_what_has_left_the_window_is_never_counted_again() -> None:
    told = history(400)
    once = folded(*told)
    assert lifetime_value(once) == {"usd": 400 * 1000 - 134 * 300}
    assert len(once.charges.by_id) == len(once.refunds.by_id) == len(once.invoices.by_id) == KEPT
    again = once
    for type_, object_, created in told:
        again = ledger.told(again, created, type_, event(type_, object_, created=created).object)
    assert again == once


def test_the_row_of_an_old_customer_stays_small() -> None:
    row = msgspec.json.encode(folded(*history(400)))
    assert len(row) < 100_000


def test_what_is_still_open_stays_whatever_its_age() -> None:
    at = 1_600_000_000
    old: list[Told] = [
        ("invoice.finalized", invoice(id="in_open", created=at), at),
        ("charge.dispute.created", dispute("needs_response", id="du_open", charge="ch_old", created=at), at),
        ("charge.succeeded", charge("ch_old", created=at), at),
    ]
    held = folded(*old, *history(300))
    assert "in_open" in held.invoices.by_id
    assert "du_open" in held.disputes.by_id
    assert "ch_old" not in held.charges.by_id
    lost = dispute("lost", id="du_open", charge="ch_old", created=at)
    after = ledger.told(
        held, held.newest, "charge.dispute.closed", event("charge.dispute.closed", lost).object
    )
    assert lifetime_value(after)["usd"] == lifetime_value(held)["usd"] - 1000


def test_a_refund_of_a_charge_that_has_left_counts() -> None:
    held = folded(*history(300))
    assert "ch_00000" not in held.charges.by_id
    given = refund("re_new", 100, charge="ch_00000", created=held.newest)
    after = ledger.told(held, held.newest, "refund.created", event("refund.created", given).object)
    assert lifetime_value(after)["usd"] == lifetime_value(held)["usd"] - 100


def test_what_is_younger_than_the_days_stays_however_much_there_is() -> None:
    at = 1_600_000_000
    told = [("charge.succeeded", charge(f"ch_{n}", created=at + n), at + n) for n in range(KEPT * 2)]
    assert len(folded(*told).charges.by_id) == KEPT * 2
    later = ("charge.succeeded", charge("ch_later", created=at + DAYS * 2 * DAY), at + DAYS * 2 * DAY)
    held = folded(*told, later)
    assert len(held.charges.by_id) == KEPT
    assert lifetime_value(held) == {"usd": (KEPT * 2 + 1) * 1000}
