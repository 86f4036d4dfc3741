"""Charges and what becomes of them: refunds, disputes, early fraud warnings.

docs.stripe.com/api/charges/object, …/refunds/object, …/disputes/object, …/radar/early_fraud_warnings/object.
The last three carry no customer, and since 2022-11-15 a charge no longer lists its refunds.
"""

from __future__ import annotations

import msgspec

from stream.stripe.shapes.wire import Expandable, Ref, id_of


class Refund(msgspec.Struct, frozen=True, omit_defaults=True):
    """Money given back: `amount` in minor units. Before 2018 it had no `status` and had succeeded."""

    id: str
    amount: int
    currency: str
    status: str = "succeeded"
    charge: str | None = None
    payment_intent: str | None = None
    customer: str | None = None
    reason: str | None = None
    failure_reason: str | None = None
    created: int | None = None
    metadata: dict[str, str] = {}


class Charge(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attempt to take money. Amounts in minor units; `decline` is why not, in Stripe's words.

    `amount_captured` is what was really taken, `refunds` those that the payload lists. `invoice` is not told
    since 2025-03-31.basil. Until then, what was authorised and not captured was given back by a refund: `released`
    is how much of `amount_refunded` is that (changelog, "Partially capturing or canceling payments no longer
    creates a Refund").
    """

    id: str
    amount: int
    currency: str
    status: str
    customer: str | None = None
    paid: bool = False
    captured: bool = True
    amount_captured: int = 0
    amount_refunded: int = 0
    released: int = 0
    refunded: bool = False
    disputed: bool = False
    dispute: str | None = None
    invoice: str | None = None
    payment_intent: str | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    decline: str | None = None
    seller_message: str | None = None
    brand: str | None = None
    last4: str | None = None
    description: str | None = None
    receipt_url: str | None = None
    created: int | None = None
    refunds: tuple[Refund, ...] = ()
    metadata: dict[str, str] = {}


class Dispute(msgspec.Struct, frozen=True, omit_defaults=True):
    """A charge that the payer's bank contests: `amount` in minor units, to be answered by `due_by`."""

    id: str
    charge: str
    amount: int
    currency: str
    status: str
    reason: str | None = None
    payment_intent: str | None = None
    due_by: int | None = None
    created: int | None = None
    metadata: dict[str, str] = {}


class FraudWarning(msgspec.Struct, frozen=True, omit_defaults=True):
    """The payer's bank believes that a charge is fraud; `actionable` while a refund can still help."""

    id: str
    charge: str
    fraud_type: str | None = None
    actionable: bool = False
    payment_intent: str | None = None
    created: int | None = None


class _Refund(msgspec.Struct):
    id: str
    amount: int
    currency: str
    status: str | None = None
    charge: Expandable = None
    payment_intent: Expandable = None
    customer: Expandable = None
    reason: str | None = None
    failure_reason: str | None = None
    created: int | None = None
    metadata: dict[str, str] | None = None

    def shaped(self) -> Refund:
        return Refund(
            id=self.id,
            amount=self.amount,
            currency=self.currency,
            status=self.status or "succeeded",
            charge=id_of(self.charge),
            payment_intent=id_of(self.payment_intent),
            customer=id_of(self.customer),
            reason=self.reason,
            failure_reason=self.failure_reason,
            created=self.created,
            metadata=self.metadata or {},
        )


class _Outcome(msgspec.Struct):
    reason: str | None = None
    seller_message: str | None = None


class _Card(msgspec.Struct):
    brand: str | None = None
    last4: str | None = None


class _Method(msgspec.Struct):
    card: _Card | None = None


class _Refunds(msgspec.Struct):
    data: list[_Refund] = []


class _Charge(msgspec.Struct):
    id: str
    amount: int
    currency: str
    status: str
    customer: Expandable = None
    paid: bool | None = None
    captured: bool | None = None
    amount_captured: int | None = None
    amount_refunded: int | None = None
    refunded: bool | None = None
    disputed: bool | None = None
    dispute: Expandable = None
    invoice: Expandable | msgspec.UnsetType = msgspec.UNSET
    payment_intent: Expandable = None
    failure_code: str | None = None
    failure_message: str | None = None
    outcome: _Outcome | None = None
    payment_method_details: _Method | None = None
    source: _Card | None = None
    description: str | None = None
    receipt_url: str | None = None
    created: int | None = None
    refunds: _Refunds | None = None
    metadata: dict[str, str] | None = None


class _Evidence(msgspec.Struct):
    due_by: int | None = None


class _Dispute(msgspec.Struct):
    id: str
    amount: int
    currency: str
    status: str
    charge: str | Ref
    reason: str | None = None
    payment_intent: Expandable = None
    evidence_details: _Evidence | None = None
    created: int | None = None
    metadata: dict[str, str] | None = None


class _FraudWarning(msgspec.Struct):
    id: str
    charge: str | Ref
    fraud_type: str | None = None
    actionable: bool | None = None
    payment_intent: Expandable = None
    created: int | None = None


_refund = msgspec.json.Decoder(_Refund).decode
_charge = msgspec.json.Decoder(_Charge).decode
_dispute = msgspec.json.Decoder(_Dispute).decode
_fraud_warning = msgspec.json.Decoder(_FraudWarning).decode


def refund(raw: msgspec.Raw | bytes) -> Refund:
    """A refund of any API version."""
    return _refund(raw).shaped()


def charge(raw: msgspec.Raw | bytes) -> Charge:
    """A charge of any API version."""
    wire = _charge(raw)
    outcome = wire.outcome or _Outcome()
    method = wire.payment_method_details
    card = (method.card if method else None) or wire.source or _Card()
    captured = wire.captured is not False
    taken = wire.amount_captured  # came in 2020
    if taken is None:
        taken = wire.amount if wire.paid and captured else 0
    return Charge(
        id=wire.id,
        amount=wire.amount,
        currency=wire.currency,
        status=wire.status,
        customer=id_of(wire.customer),
        paid=bool(wire.paid),
        captured=captured,
        amount_captured=taken,
        amount_refunded=wire.amount_refunded or 0,
        released=_released(wire, taken),
        refunded=bool(wire.refunded),
        disputed=bool(wire.disputed or wire.dispute),
        dispute=id_of(wire.dispute),
        invoice=None if isinstance(wire.invoice, msgspec.UnsetType) else id_of(wire.invoice),
        payment_intent=id_of(wire.payment_intent),
        failure_code=wire.failure_code,
        failure_message=wire.failure_message,
        decline=outcome.reason or wire.failure_code,
        seller_message=outcome.seller_message,
        brand=card.brand,
        last4=card.last4,
        description=wire.description,
        receipt_url=wire.receipt_url,
        created=wire.created,
        refunds=tuple(refund.shaped() for refund in (wire.refunds or _Refunds()).data),
        metadata=wire.metadata or {},
    )


def _released(wire: _Charge, taken: int) -> int:
    """Who captures with a newer version than the endpoint has makes no such refund: then less was given back."""
    left, back = wire.amount - taken, wire.amount_refunded or 0
    old = not isinstance(wire.invoice, msgspec.UnsetType) and wire.status == "succeeded"
    return left if old and 0 < left <= back else 0


def dispute(raw: msgspec.Raw | bytes) -> Dispute:
    """A dispute of any API version."""
    wire = _dispute(raw)
    return Dispute(
        id=wire.id,
        charge=wire.charge if isinstance(wire.charge, str) else wire.charge.id,
        amount=wire.amount,
        currency=wire.currency,
        status=wire.status,
        reason=wire.reason,
        payment_intent=id_of(wire.payment_intent),
        due_by=wire.evidence_details.due_by if wire.evidence_details else None,
        created=wire.created,
        metadata=wire.metadata or {},
    )


def fraud_warning(raw: msgspec.Raw | bytes) -> FraudWarning:
    """An early fraud warning of any API version."""
    wire = _fraud_warning(raw)
    return FraudWarning(
        id=wire.id,
        charge=wire.charge if isinstance(wire.charge, str) else wire.charge.id,
        fraud_type=wire.fraud_type,
        actionable=bool(wire.actionable),
        payment_intent=id_of(wire.payment_intent),
        created=wire.created,
    )
