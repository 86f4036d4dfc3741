"""Events that name no customer: whose they are, and what is said when that cannot be known."""

from __future__ import annotations

from typing import Any

import pytest

from agents.events import State
from agents.projector import fold_chunk
from agents.strays import Owner, Owners
from stream.stripe.api import Away, NotFound
from stream.stripe.shapes import Charge
from tests.money import charge, dispute, invoice, refund, warning
from tests.touched import event, record


class Stripe:
    """Stripe's charges, and how often it was asked for one."""

    def __init__(self, customer: str | None = "cus_1", error: Exception | None = None) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self._customer = customer
        self._error = error

    async def charge(self, id_: str, account: str | None = None) -> Charge:
        self.asked.append((id_, account))
        if self._error:
            raise self._error
        return Charge(id_, 1000, "usd", "succeeded", customer=self._customer)


def owners(stripe: Stripe) -> Owners:
    return Owners(stripe)  # type: ignore[arg-type]


STRAYS: list[tuple[str, dict[str, Any]]] = [
    ("charge.dispute.created", dispute()),
    ("charge.refund.updated", refund(customer=None)),
    ("refund.created", refund(customer=None)),
    ("radar.early_fraud_warning.created", warning()),
]


@pytest.mark.parametrize(("type_", "object_"), STRAYS)
async def test_a_stray_belongs_to_its_charges_customer(type_: str, object_: dict[str, Any]) -> None:
    stripe = Stripe()
    for account, key in (("", "cus_1"), ("acct_1/", "acct_1/cus_1")):
        stray = event(type_, object_, key=f"{account}{object_['id']}")
        assert await owners(stripe).of(stray) == Owner(key)
    assert stripe.asked == [("ch_1", None), ("ch_1", "acct_1")]


async def test_a_charge_is_asked_for_once() -> None:
    stripe = Stripe()
    known = owners(stripe)
    for type_, object_ in STRAYS:
        await known.of(event(type_, object_, key=object_["id"]))
    assert stripe.asked == [("ch_1", None)]


async def test_a_guests_charge_is_nobodys() -> None:
    stripe = Stripe(customer=None)
    for type_, object_ in (*STRAYS, ("charge.succeeded", charge(customer=None))):
        assert await owners(stripe).of(event(type_, object_, key=object_["id"])) == Owner()
    assert ("ch_1", None) in stripe.asked


async def test_an_invoice_without_a_customer_says_so() -> None:
    owner = await owners(Stripe()).of(event("invoice.paid", invoice("paid", customer=None), key="in_1"))
    assert str(owner.error).startswith("invoice.paid about in_1 names no customer, and Stripe names one")


async def test_a_charge_that_is_not_there_is_told_with_the_event() -> None:
    known = owners(Stripe(error=NotFound("Stripe has no charge ch_1.")))
    owner = await known.of(event("charge.dispute.created", dispute(), key="du_1"))
    assert owner.error is not None
    assert owner.error.startswith("charge.dispute.created about du_1 names no customer, only a charge.")
    assert "Stripe has no charge ch_1." in owner.error


async def test_stripe_away_is_asked_again() -> None:
    with pytest.raises(Away):
        await owners(Stripe(error=Away("503"))).of(event("charge.dispute.created", dispute(), key="du_1"))


def test_strays_are_parted_from_the_rest() -> None:
    records = [
        record(type_, object_, key=object_["id"], offset=n) for n, (type_, object_) in enumerate(STRAYS)
    ]
    mine = record("charge.succeeded", charge(), offset=9)
    folded = fold_chunk([*records, mine], lambda _: State())
    assert len(folded.strays) == len(STRAYS)
    assert folded.touched.keys() == {b"cus_1"}


def test_a_foretold_invoice_is_left_alone() -> None:
    folded = fold_chunk([record("invoice.upcoming", invoice(id=None))], lambda _: State())
    assert dict(folded.outcomes) == {("ignored", "no_workflow"): 1}
