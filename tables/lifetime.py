"""Lifetime value, and what of it was given back.

It is counted by charges, since one payment is told by a charge and by up to three invoice events, and since
2025-03-31.basil neither names the other: what charges took, and what invoices say was paid outside of Stripe; less
refunds, lost disputes, and what credit notes gave back out of band. A refund that failed or was canceled gave
nothing back. What a charge says was refunded, beyond the refunds known one by one, counts too.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tables.payments import COUNTED, Bill, Contested, Credited, GivenBack, Payment, Payments

# What the known refunds of a charge give back, and what those that failed would have.
Known = tuple[int, int]
NOTHING: Known = (0, 0)


def lifetime_value(payments: Payments) -> dict[str, int]:
    """Lifetime value in minor units, by currency; a currency in which something was ever paid is there."""
    sums: dict[str, int] = defaultdict(int, payments.settled)
    refunded = refunds_by_charge(payments)
    for kind in COUNTED:
        for id_, held in getattr(payments, kind).by_id.items():
            if amount := worth(held.body, refunded.get(id_, NOTHING)):
                sums[held.body.currency] += amount
    return dict(sums)


def refunded(payments: Payments, charge: str) -> int:
    """What is said to be given back of a charge that has not left; more than it took is for a person to look at."""
    held = payments.charges.get(charge)
    if held is None:
        return 0
    return max(_refunded(held, refunds_by_charge(payments).get(charge, NOTHING)) - held.released, 0)


def refunds_by_charge(payments: Payments) -> dict[str, Known]:
    """What is known one by one of the refunds of each charge."""
    known: dict[str, Known] = {}
    for held in payments.refunds.by_id.values():
        it = held.body
        if it.charge is not None:
            alive, failed = known.get(it.charge, NOTHING)
            known[it.charge] = (alive + it.amount, failed) if it.alive else (alive, failed + it.amount)
    return known


def _refunded(charge: Payment, known: Known) -> int:
    """What was given back of a charge: the refunds that are known, and what only the charge tells of.

    Whether Stripe takes a failed refund off `amount_refunded` again does not matter here.
    """
    alive, failed = known
    return max(alive, charge.refunded - failed)


def worth(body: Any, known: Known) -> int:
    """What an object adds to lifetime value. Of a charge that is what it took and released, less only what its
    refunds, which are counted one by one, do not account for; they never take more than that."""
    match body:
        case Payment():
            alive, _ = known
            whole = body.taken + body.released
            return whole - min(_refunded(body, known), whole) + alive
        case GivenBack():
            return -body.amount if body.alive else 0
        case Contested():
            return -body.amount if body.status == "lost" else 0
        case Credited():
            return -body.out_of_band if body.status == "issued" else 0
        case Bill():
            return body.off_stripe
    return 0
