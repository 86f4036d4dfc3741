"""A settled sum and an open window: nothing is counted twice or lost, whatever order and duplicates do.

The window is made small, so that short histories reach far beyond it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.stripe.shapes import Charge, CreditNote, Dispute, Invoice, Refund
from tables import ledger, settling
from tables.lifetime import lifetime_value
from tables.payments import Payments

DAY = 86_400
KEPT, DAYS = 3, 10
START = 1_700_000_000

Told = tuple[int, str, Any]


@pytest.fixture(autouse=True)
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "KEPT", KEPT)
    monkeypatch.setattr(settling, "DAYS", DAYS)


class History(msgspec.Struct):
    """What was told, in true order, and what is true in the end."""

    told: list[Told]
    lifetime: dict[str, int]


@st.composite
def histories(draw: st.DrawFn) -> History:
    told: list[Told] = []
    sums: dict[str, int] = {}
    at = START
    for n in range(draw(st.integers(1, 25))):
        at += draw(st.integers(0, 12)) * DAY + draw(st.integers(0, 1))
        currency = draw(st.sampled_from(("usd", "eur")))
        more, worth = draw(st.sampled_from((_charged, _by_cheque, _credited)))(draw, n, at, currency)
        told += more
        sums[currency] = sums.get(currency, 0) + worth
    told.sort(key=lambda one: one[0])
    return History(told, {currency: worth for currency, worth in sums.items() if worth})


def _charged(draw: st.DrawFn, n: int, at: int, currency: str) -> tuple[list[Told], int]:
    """A charge, of which parts are given back at once or long after, and which may be contested."""
    amount = draw(st.integers(1, 1000))
    base = Charge(f"ch_{n}", amount, currency, "succeeded", created=at, amount_captured=amount)
    told: list[Told] = [(at, "charge.succeeded", base)]
    given_back, said, when = 0, 0, at
    for part in range(draw(st.integers(0, 3))):
        more = draw(st.integers(0, amount - said))
        # A charge never tells of a refund that is yet to come.
        when += draw(st.integers(0, 15)) * DAY
        ended = draw(st.sampled_from(("succeeded", "failed")))
        refund = Refund(f"re_{n}_{part}", more, currency, "pending", charge=base.id, created=when)
        said += more
        given_back += more if ended == "succeeded" else 0
        told.append((when, "refund.created", refund))
        if draw(st.booleans()):
            told.append((when, "charge.refunded", _refunded(base, said, draw(st.booleans()), refund)))
        done = msgspec.structs.replace(refund, status=ended)
        told.append((when + draw(st.integers(0, 2)) * DAY, "refund.updated", done))
    lost = 0
    if draw(st.booleans()):
        dispute = Dispute(f"du_{n}", base.id, amount, currency, "needs_response", created=at + DAY)
        ended = draw(st.sampled_from(("won", "lost")))
        lost = amount if ended == "lost" else 0
        told.append((at + DAY, "charge.dispute.created", dispute))
        closed = at + draw(st.integers(1, 90)) * DAY
        told.append((closed, "charge.dispute.closed", msgspec.structs.replace(dispute, status=ended)))
    return told, amount - given_back - lost


def _refunded(base: Charge, said: int, listed: bool, refund: Refund) -> Charge:
    refunds = (refund,) if listed else ()
    return msgspec.structs.replace(base, amount_refunded=said, refunds=refunds)


def _by_cheque(draw: st.DrawFn, n: int, at: int, currency: str) -> tuple[list[Told], int]:
    amount, days = draw(st.integers(1, 1000)), draw(st.integers(0, 90))
    invoice = Invoice(currency, f"in_{n}", "open", created=at, amount_due=amount)
    paid = msgspec.structs.replace(invoice, status="paid", amount_off_stripe=amount, amount_paid=amount)
    return [(at, "invoice.finalized", invoice), (at + days * DAY, "invoice.paid", paid)], amount


def _credited(draw: st.DrawFn, n: int, at: int, currency: str) -> tuple[list[Told], int]:
    back = draw(st.integers(1, 1000))
    note = CreditNote(f"cn_{n}", "in_0", currency, "issued", back, out_of_band=back, created=at)
    told: list[Told] = [(at, "credit_note.created", note)]
    if draw(st.booleans()):
        told.append((at + DAY, "credit_note.voided", msgspec.structs.replace(note, status="void")))
        back = 0
    return told, -back


def folded(told: list[Told], state: Payments | None = None) -> Payments:
    held = state or Payments()
    for at, type_, it in told:
        held = ledger.told(held, at, type_, it)
    return held


def sums(state: Payments) -> dict[str, int]:
    return {currency: worth for currency, worth in lifetime_value(state).items() if worth}


def late(draw: Callable[..., Any], told: list[Told]) -> list[Told]:
    """The events as late as they may be, some of them twice."""
    limit = DAYS * DAY - 1
    copies = [*told, *draw(st.lists(st.sampled_from(told), max_size=10))]
    delays = draw(st.lists(st.integers(0, limit), min_size=len(copies), max_size=len(copies)))
    arrive = sorted(zip(copies, delays, strict=True), key=lambda one: (one[0][0] + one[1], one[1]))
    return [one for one, _ in arrive]


@given(histories(), st.data())
def test_any_order_within_the_days_counts_each_cent_once(history: History, data: st.DataObject) -> None:
    # What is remembered may differ: news of a charge keeps it, if it has not left by then.
    assert sums(folded(history.told)) == history.lifetime
    assert sums(folded(late(data.draw, history.told))) == history.lifetime


@given(histories(), st.data())
def test_a_replay_of_everything_in_any_order_changes_nothing(history: History, data: st.DataObject) -> None:
    held = folded(history.told)
    again = data.draw(st.permutations([*history.told, *history.told]))
    assert folded(list(again), held) == held


@given(histories(), st.data())
def test_a_customer_with_very_much_of_late_is_counted_right_too(
    history: History, data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(settling, "MOST", 2 * KEPT)
        patched.setattr(settling, "DAYS", 10_000)
        held = folded(history.told)
        assert sums(held) == history.lifetime
        again = data.draw(st.permutations(history.told))
        assert folded(list(again), held) == held
        paid = [it for it in held.charges.by_id.values() if it.body.taken]
        assert len({it.body.created for it in paid}) <= 2 * KEPT


@given(histories())
def test_the_window_holds_the_newest_the_young_and_the_open(history: History) -> None:
    held = folded(history.told)
    cutoff = held.newest - DAYS * DAY
    for kind in ("charges", "refunds", "disputes", "credit_notes", "invoices"):
        window = getattr(held, kind)
        due = [
            told
            for told in window.by_id.values()
            if told.at <= cutoff
            and getattr(told.body, "charge", None) not in held.charges.by_id
            and getattr(told.body, "status", "")
            in ("paid", "succeeded", "failed", "won", "lost", "issued", "void")
        ]
        young = len(window.by_id) - len(due)
        assert len(window.by_id) <= KEPT + young


@given(histories())
def test_what_is_remembered_survives_being_stored(history: History) -> None:
    held = folded(history.told)
    assert msgspec.json.decode(msgspec.json.encode(held), type=Payments) == held
