"""Credit notes: what an invoice is lessened by, before it is paid or after.

docs.stripe.com/invoicing/dashboard/credit-notes. Customers have no balance here, so what is credited after the
payment goes back by a refund, or outside of Stripe.
"""

from __future__ import annotations

from stream.sandbox.stripe import payments
from stream.sandbox.stripe.life import DAY, Life
from stream.sandbox.stripe.objects import Charge, CreditNote, Invoice

_REASONS = ("duplicate", "order_change", "product_unsatisfactory", None)


def credit(life: Life, invoice: Invoice) -> None:
    """A part of an invoice is credited; half of the notes on open invoices are voided again."""
    life.begin()
    life.book.called()
    part = max(1, invoice.amount_due * life.rng.randint(1, 4) // 10)
    if invoice.status == "open":
        note = _before(life, invoice, part)
        if life.chance(0.5):
            life.at(life.now + life.rng.randint(1, 3) * DAY, lambda: _void(life, note.id))
    else:
        _after(life, invoice, part)
    life.moved("credited", invoice.id)


def _before(life: Life, invoice: Invoice, amount: int) -> CreditNote:
    """Of an open invoice: less remains to be paid."""
    note = _note(life, invoice, amount, pre_payment=amount)
    life.book.add(note, "credit_note.created")
    _lessen(life, invoice, amount)
    return note


def _lessen(life: Life, invoice: Invoice, amount: int) -> None:
    life.book.change(invoice, life.now, "invoice.updated", credited_before=invoice.credited_before + amount)


def _void(life: Life, id_: str) -> None:
    """The note was a mistake. Once the invoice is paid it stands."""
    note = life.book.get(id_, CreditNote)
    invoice = life.book.get(note.invoice, Invoice)
    if invoice.status != "open":
        return
    life.begin()
    life.book.called()
    life.book.change(note, life.now, "credit_note.voided", status="void", voided_at=life.now)
    _lessen(life, invoice, -note.pre_payment)
    life.moved("credit-voided", invoice.id)


def _after(life: Life, invoice: Invoice, amount: int) -> None:
    """Of a paid one: by a refund of its charge, as far as that has as much left, else outside of Stripe."""
    book = life.book
    charge = book.get(invoice.charge, Charge) if invoice.charge else None
    if charge is not None and charge.dispute is None and charge.left >= amount and life.chance(0.6):
        refund = payments.give_back(life, charge, amount)
        note = _note(life, invoice, amount, post_payment=amount, refund=refund.id)
    else:
        note = _note(life, invoice, amount, post_payment=amount, out_of_band=amount)
    book.add(note, "credit_note.created")
    book.change(invoice, life.now, "invoice.updated", credited_after=invoice.credited_after + amount)


def _note(
    life: Life,
    invoice: Invoice,
    amount: int,
    *,
    pre_payment: int = 0,
    post_payment: int = 0,
    out_of_band: int = 0,
    refund: str | None = None,
) -> CreditNote:
    life.notes += 1
    return CreditNote(
        id=life.book.new_id("cn_1"),
        created=life.now,
        account=life.book.account,
        invoice=invoice.id,
        customer=invoice.customer,
        currency=invoice.currency,
        number=f"{invoice.number}-CN-{life.notes:02d}",
        amount=amount,
        pre_payment=pre_payment,
        post_payment=post_payment,
        out_of_band=out_of_band,
        refund=refund,
        reason=life.rng.choice(_REASONS),
    )
