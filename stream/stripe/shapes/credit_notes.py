"""Credit notes: docs.stripe.com/api/credit_notes/object. Before 2025-03-31.basil it had one `refund`."""

from __future__ import annotations

import msgspec

from stream.stripe.shapes.wire import Expandable, Ref, id_of


class CreditNote(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an invoice is lessened by, in minor units: before it is paid (`pre_payment`) or after.

    Of `post_payment`, `refunds` went back to the payer as refunds of their own; the rest is the customer's
    balance, or was given back out of band.
    """

    id: str
    invoice: str
    currency: str
    status: str
    total: int
    customer: str | None = None
    number: str | None = None
    type: str | None = None
    pre_payment: int = 0
    post_payment: int = 0
    out_of_band: int = 0
    refunds: tuple[str, ...] = ()
    reason: str | None = None
    memo: str | None = None
    pdf: str | None = None
    created: int | None = None
    voided_at: int | None = None
    metadata: dict[str, str] = {}


class _Part(msgspec.Struct):
    refund: Expandable = None


class _CreditNote(msgspec.Struct):
    id: str
    invoice: str | Ref
    currency: str
    status: str
    total: int
    customer: Expandable = None
    number: str | None = None
    type: str | None = None
    pre_payment_amount: int | None = None
    post_payment_amount: int | None = None
    out_of_band_amount: int | None = None
    refund: Expandable = None
    refunds: list[_Part] | None = None
    reason: str | None = None
    memo: str | None = None
    pdf: str | None = None
    created: int | None = None
    voided_at: int | None = None
    metadata: dict[str, str] | None = None


_credit_note = msgspec.json.Decoder(_CreditNote).decode


def credit_note(raw: msgspec.Raw | bytes) -> CreditNote:
    """A credit note of any API version."""
    wire = _credit_note(raw)
    pre, post = wire.pre_payment_amount, wire.post_payment_amount
    told = pre is not None or post is not None
    parts = [wire.refund, *(part.refund for part in wire.refunds or ())]
    return CreditNote(
        id=wire.id,
        invoice=wire.invoice if isinstance(wire.invoice, str) else wire.invoice.id,
        currency=wire.currency,
        status=wire.status,
        total=wire.total,
        customer=id_of(wire.customer),
        number=wire.number,
        type=wire.type,
        pre_payment=(pre or 0) if told else (wire.total if wire.type == "pre_payment" else 0),
        post_payment=(post or 0) if told else (wire.total if wire.type == "post_payment" else 0),
        out_of_band=wire.out_of_band_amount or 0,
        refunds=tuple(dict.fromkeys(id_ for part in parts if (id_ := id_of(part)))),
        reason=wire.reason,
        memo=wire.memo,
        pdf=wire.pdf,
        created=wire.created,
        voided_at=wire.voided_at,
        metadata=wire.metadata or {},
    )
