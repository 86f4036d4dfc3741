"""What the demo expects the Account to say of money."""

from __future__ import annotations

import msgspec

from stream.sandbox.expected import money
from stream.sandbox.expected.money import Purse
from tests.unit.sandbox_stripe.things import CHARGE, CUSTOMER, NOTE, REFUND


def values(purse: Purse) -> object:
    return money.account(CUSTOMER, purse)["Stripe_Lifetime_Values__c"]


def test_a_bill_that_was_only_lessened_is_no_payment_of_nothing() -> None:
    note = msgspec.structs.replace(NOTE, pre_payment=NOTE.amount, post_payment=0, out_of_band=0, refund=None)
    assert values(Purse(notes=[note])) is None


def test_what_was_paid_and_given_back_is_nothing_in_its_currency() -> None:
    refund = msgspec.structs.replace(REFUND, amount=CHARGE.taken)
    charge = msgspec.structs.replace(CHARGE, refunds=(refund,))
    assert values(Purse(charges=[charge])) == "0.00 USD"
