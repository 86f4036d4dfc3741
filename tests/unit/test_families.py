"""The families of event types that the gateway counts by."""

from __future__ import annotations

import pytest

from stream.gateway.families import FAMILIES, family
from tests.unit import event_types

TABLES = (event_types.CUSTOMER, event_types.PREVIOUS, event_types.OWN, event_types.NONE)
EVERY_TYPE = [type_ for table in TABLES for type_, _ in event_types.types(table)]


@pytest.mark.parametrize(
    ("type_", "wanted"),
    [
        ("customer.created", "customer"),
        ("customer.subscription.updated", "customer.subscription"),
        ("customer.subscription.trial_will_end", "customer.subscription"),
        ("customer.newthing.created", "customer"),
        ("charge.dispute.created", "charge.dispute"),
        ("charge.refund.updated", "charge"),
        ("invoice.payment.overpaid", "invoice"),
        ("checkout.session.completed", "checkout.session"),
        ("billing.credit_grant.created", "billing"),
        ("treasury.received_debit.created", "other"),
        ("customer", "other"),
        ("", "other"),
        ("x" * 255, "other"),
    ],
)
def test_a_type_belongs_to_one_listed_family(type_: str, wanted: str) -> None:
    assert family(type_) == wanted


def test_every_family_is_one_that_stripe_sends() -> None:
    assert {family(type_) for type_ in EVERY_TYPE} == FAMILIES
