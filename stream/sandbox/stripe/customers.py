"""Customers sign up, keep a card, edit their details, and are deleted."""

from __future__ import annotations

from typing import Any

import msgspec

from stream.sandbox.stripe import identities, subscriptions
from stream.sandbox.stripe.life import Life
from stream.sandbox.stripe.objects import Customer, PaymentMethod

_BRANDS = ("visa", "mastercard", "amex")


def sign_up(life: Life) -> None:
    """`customer.created`; often with details that follow in the same second."""
    who, book, rng = life.identity, life.book, life.rng
    life.begin()
    book.called()
    late = life.chance(0.1)
    book.add(
        Customer(
            id=who.id,
            created=life.now,
            account=who.account,
            name=None if late and not who.keeps_name else who.name,
            business_name=who.business_name,
            email=who.email,
            phone=who.phone,
            address=None if late else who.address,
            description=f"Signed up as {who.kind}" if life.chance(0.3) else None,
            invoice_prefix="".join(rng.choices("0123456789ABCDEF", k=8)),
            preferred_locales=(who.country.locale,) if life.chance(0.5) else (),
            metadata={"user_id": str(10_000 + who.index)} if life.chance(0.6) else {},
        ),
        "customer.created",
    )
    if late:
        book.called()
        _change(life, name=who.name, address=who.address)
    life.moved("signed-up")


def keep_card(life: Life) -> None:
    """A card is attached and becomes the default one."""
    book, rng = life.book, life.rng
    book.called()
    card = book.add(
        PaymentMethod(
            id=book.new_id("pm_1"),
            created=life.tick(),
            account=book.account,
            customer=life.customer.id,
            brand=rng.choice(_BRANDS),
            last4=f"{rng.randint(0, 9999):04d}",
            exp_month=rng.randint(1, 12),
            exp_year=rng.randint(2027, 2031),
            country=life.identity.country.code,
            fingerprint=book.new_id("", 16),
        ),
        "payment_method.attached",
    )
    life.tick()
    _change(life, default_payment_method=card.id)


def edit(life: Life, changes: int = 1) -> None:
    """Edits as many details as asked, each by a call of its own, all in this very second.

    Each edit is of another detail, so no state comes back within the second.
    """
    details = ["email", "name", "phone", "address", "metadata", "business_name"]
    life.rng.shuffle(details)
    life.begin()
    told = len(life.book.events)
    for detail in [name for name in details if _may_change(life, name)][:changes]:
        life.edits += 1
        life.book.called()
        _change(life, **{detail: _new(life, detail)})
    # What is new may happen to be what was: then nothing has happened.
    if len(life.book.events) > told:
        life.moved("edited")


def revert(life: Life) -> None:
    """An edit that is taken back in the very same second: only Stripe itself can tell what holds."""
    life.begin()
    before = life.customer
    other: str | None = identities.phone(life.rng, life.identity.country)
    if other == before.phone:
        # Some countries keep but a hundred numbers for fiction; no number is another one too.
        other = None
    for phone in (other, before.phone):
        life.book.called()
        _change(life, phone=phone)
    life.moved("edited")


def _may_change(life: Life, detail: str) -> bool:
    who = life.identity
    if detail == "email":
        return not who.keeps_email
    if detail == "name":
        return not who.keeps_name and who.kind != "guest"
    if detail == "business_name":
        return who.kind == "colleague" and life.customer.business_name is None
    return True


def _new(life: Life, detail: str) -> Any:
    who, rng = life.identity, life.rng
    now = life.customer
    if detail == "email":
        return identities.new_email(rng, who, life.edits)
    if detail == "name":
        return identities.new_name(rng, who, life.edits)
    if detail == "business_name":
        return who.company
    if detail == "phone":
        return None if now.phone and life.chance(0.15) else identities.phone(rng, who.country)
    if detail == "metadata":
        # A key comes, changes, or goes: Stripe tells a key that was not there as null.
        if "seats_wanted" in now.metadata and life.chance(0.4):
            return {name: value for name, value in now.metadata.items() if name != "seats_wanted"}
        return {**now.metadata, "seats_wanted": str(life.edits)}
    if now.address and life.chance(0.3):
        return None if life.chance(0.2) else msgspec.structs.replace(now.address, line2=f"Floor {life.edits}")
    return identities.address(rng, who.country)


def _change(life: Life, **changes: Any) -> Customer:
    return life.book.change(life.customer, life.now, "customer.updated", **changes)


def delete(life: Life) -> None:
    """All subscriptions end at once, then the customer is deleted."""
    life.begin()
    life.book.called()
    for subscription in life.subscriptions(*subscriptions.LIVING):
        subscriptions.end(life, subscription, "cancellation_requested")
    life.book.change(life.customer, life.now, "customer.deleted", deleted=True)
    life.moved("deleted")
