"""Early fraud warnings: a bank believes that a charge is fraud (docs.stripe.com/radar/early-fraud-warnings)."""

from __future__ import annotations

from collections.abc import Callable

from stream.sandbox.stripe import payments
from stream.sandbox.stripe.life import DAY, Life
from stream.sandbox.stripe.objects import Charge, FraudWarning

KINDS = ("made_with_stolen_card", "card_never_received", "unauthorized_use_of_card", "misc")


def warn(life: Life, charge: Charge) -> None:
    """A warning; the charge is given back, contested, or nothing comes of it."""
    book = life.book
    life.begin()
    book.automatic()
    book.add(
        FraudWarning(
            id=book.new_id("issfr_1"),
            created=life.now,
            account=book.account,
            charge=charge.id,
            payment_intent=charge.payment_intent,
            kind=life.rng.choice(KINDS),
        ),
        "radar.early_fraud_warning.created",
    )
    life.moved("warned", charge.id)
    ways: tuple[Callable[[Life, Charge], None] | None, ...] = (_give_back, payments.contest, None)
    follows = life.rng.choice(ways)
    if follows is not None:
        life.at(life.now + life.rng.randint(1, 4) * DAY, lambda: _follow(life, charge.id, follows))


def _follow(life: Life, id_: str, do: Callable[[Life, Charge], None]) -> None:
    charge = life.book.get(id_, Charge)
    if charge.dispute is None and charge.left:
        do(life, charge)


def _give_back(life: Life, charge: Charge) -> None:
    payments.refund(life, charge, charge.left)
