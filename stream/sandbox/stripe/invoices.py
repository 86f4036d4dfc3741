"""Invoices: drafted, finalised, paid or not (docs.stripe.com/invoicing/overview, "Invoice lifecycle")."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import msgspec

from stream.sandbox.stripe import payments, pricing
from stream.sandbox.stripe.life import DAY, HOUR, Life
from stream.sandbox.stripe.objects import Discount, Invoice, Item, Line, PaymentIntent, Subscription

# Stripe's default schedule tries again after these days; then the retries are used up.
RETRY_DAYS = (3, 5, 7)


def draft(
    life: Life, subscription: Subscription, id_: str, reason: str, lines: tuple[Line, ...], *, due: int | None
) -> Invoice:
    """A new draft. `due` is when Stripe finalises it; None leaves it a draft until somebody does.

    A credit greater than all charges is waived: as with `proration_behavior=none`, and as customers have no
    balance here.
    """
    customer = life.customer
    discounts = discounts_of(life, subscription)
    rebated = _rebated(lines, discounts, subscription.currency)
    if sum(line.amount - sum(off for _, off in line.discounts) for line in rebated) < 0:
        rebated = tuple(line for line in rebated if line.amount >= 0)
    return life.book.add(
        Invoice(
            id=id_,
            created=life.now,
            account=life.book.account,
            customer=customer.id,
            subscription=subscription.id,
            currency=subscription.currency,
            billing_reason=reason,
            lines=rebated,
            discounts=discounts,
            period_start=min(line.start for line in rebated),
            period_end=max(line.end for line in rebated),
            customer_name=customer.name,
            customer_email=customer.email,
            customer_phone=customer.phone,
            customer_address=customer.address,
            auto_advance=due is not None,
            next_payment_attempt=due,
            days_until_due=subscription.days_until_due,
        ),
        "invoice.created",
    )


def discounts_of(life: Life, subscription: Subscription) -> tuple[Discount, ...]:
    """The discounts that hold for its invoices: its own, else the customer's."""
    discount = life.customer.discount
    return subscription.discounts or ((discount,) if discount else ())


def foretell(life: Life, subscription: Subscription, items: tuple[Item, ...]) -> None:
    """`invoice.upcoming`: what the next renewal, of these items, will cost. It has no ID, and is kept nowhere."""
    lines = lines_of(life, items)
    discounts = discounts_of(life, subscription)
    invoice = Invoice(
        id="",
        created=subscription.period_end,
        account=life.book.account,
        customer=life.customer.id,
        subscription=subscription.id,
        currency=subscription.currency,
        billing_reason="upcoming",
        lines=_rebated(lines, discounts, subscription.currency),
        discounts=discounts,
        period_start=subscription.period_start,
        period_end=subscription.period_end,
        customer_name=life.customer.name,
        customer_email=life.customer.email,
        customer_phone=life.customer.phone,
        customer_address=life.customer.address,
        next_payment_attempt=subscription.period_end + HOUR,
    )
    life.book.tell("invoice.upcoming", invoice, life.now)


def finalise(life: Life, invoice: Invoice) -> Invoice:
    """From now on it is a document with a number, and its amount stands."""
    life.invoices += 1
    invoice = msgspec.structs.replace(
        invoice,
        status="open",
        number=f"RS-{life.identity.index:05d}{life.invoices:03d}",
        token=life.book.new_id("", 40),
        finalized_at=life.now,
        next_payment_attempt=None,
        due_date=None if invoice.days_until_due is None else life.now + invoice.days_until_due * DAY,
    )
    if invoice.amount_due:
        intent = payments.intend(life, invoice)
        invoice = msgspec.structs.replace(invoice, payment_intent=intent.id)
    life.book.things[invoice.id] = invoice
    life.book.tell("invoice.finalized", invoice, life.now)
    return invoice


def pay(life: Life, invoice: Invoice, *, succeeds: bool = True) -> bool:
    """One attempt to collect a finalised invoice; whether it is paid. One that costs nothing always is."""
    if not invoice.amount_due:
        _paid(life, invoice, None)
        return True
    attempts = invoice.attempt_count + 1
    charge = payments.take(life, invoice, succeeds=succeeds)
    if succeeds:
        _paid(life, invoice, charge.id)
        return True
    retries = RETRY_DAYS[attempts - 1 : attempts] if invoice.billing_reason != "subscription_create" else ()
    life.book.change(
        invoice,
        life.now,
        "invoice.updated",
        "invoice.payment_failed",
        attempt_count=attempts,
        charge=charge.id,
        next_payment_attempt=life.now + retries[0] * DAY if retries else None,
    )
    return False


def ask(life: Life, invoice: Invoice) -> None:
    """The bank wants the card's holder to confirm (3-D Secure): no charge until that is done."""
    intent = life.book.get(str(invoice.payment_intent), PaymentIntent)
    card = life.customer.default_payment_method
    asked = {"status": "requires_action", "payment_method": card}
    life.book.change(intent, life.now, "payment_intent.requires_action", **asked)
    told = ("invoice.updated", "invoice.payment_action_required")
    life.book.change(invoice, life.now, *told, attempt_count=invoice.attempt_count + 1)


def _paid(life: Life, invoice: Invoice, charge: str | None) -> None:
    """One payment is told three times within a second: updated, paid, payment_succeeded."""
    life.book.change(
        invoice,
        life.now,
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_succeeded",
        status="paid",
        amount_paid=invoice.amount_due,
        attempt_count=invoice.attempt_count + (charge is not None),
        charge=charge,
        paid_at=life.now,
        next_payment_attempt=None,
    )


def pay_off_stripe(life: Life, invoice: Invoice) -> None:
    """It is marked as paid by cheque or transfer: no charge, and so no `invoice.payment_succeeded`."""
    intent = life.book.get(str(invoice.payment_intent), PaymentIntent)
    life.book.change(intent, life.now, "payment_intent.canceled", status="canceled")
    life.book.change(
        invoice,
        life.now,
        "invoice.updated",
        "invoice.paid",
        status="paid",
        amount_paid=invoice.amount_due,
        off_stripe=invoice.amount_due,
        paid_at=life.now,
        next_payment_attempt=None,
    )


def void(life: Life, invoice: Invoice) -> None:
    """It is cancelled, as if it had never been, and so is what was to pay it."""
    if invoice.payment_intent:
        intent = life.book.get(invoice.payment_intent, PaymentIntent)
        life.book.change(intent, life.now, "payment_intent.canceled", status="canceled")
    life.book.change(
        invoice, life.now, "invoice.voided", status="void", voided_at=life.now, next_payment_attempt=None
    )


def write_off(life: Life, invoice: Invoice) -> None:
    """Nobody expects it to be paid any more."""
    life.book.change(
        invoice,
        life.now,
        "invoice.marked_uncollectible",
        status="uncollectible",
        uncollectible_at=life.now,
        next_payment_attempt=None,
    )


def give_up(life: Life, subscription: Subscription) -> None:
    """A subscription has ended: Stripe no longer tries to collect its open invoices."""
    for invoice in [t for t in life.book.things.values() if isinstance(t, Invoice)]:
        if invoice.subscription == subscription.id and invoice.status in ("draft", "open"):
            life.book.change(
                invoice, life.now, "invoice.updated", auto_advance=False, next_payment_attempt=None
            )


def lines_of(
    life: Life, items: Iterable[Item], ended: Iterable[Item] = (), *, free: bool = False
) -> tuple[Line, ...]:
    """The lines of a period that begins; metered items are billed for the one that has `ended`.
    `free` is for a trial: the lines stand there, and cost nothing."""
    old = {item.id: item for item in ended}
    lines = []
    for item in items:
        if item.price.usage_type == "metered":
            billed = old.get(item.id)
            used = life.rng.randint(0, 40_000) if billed and not free else 0
            period = billed or item
            cost = pricing.amount(item.price, used)
            lines.append(_line(life, item, cost, used, period.period_start, period.period_end))
        else:
            cost = 0 if free else pricing.amount(item.price, item.quantity)
            lines.append(_line(life, item, cost, item.quantity, item.period_start, item.period_end))
    return tuple(lines)


def prorated(life: Life, old: Item, new: Item, discounts: tuple[Discount, ...], at: int) -> tuple[Line, ...]:
    """A change in the middle of a period: the unused rest comes back, the rest of the new one is charged
    (docs.stripe.com/billing/subscriptions/prorations). The credit is of what was paid, after discounts."""
    unused = Fraction(max(old.period_end - at, 0), old.period_end - old.period_start)
    share = Fraction(new.period_end - at, new.period_end - new.period_start)
    paid = Fraction(1)
    for discount in discounts:
        paid *= 1 - Fraction(str(discount.coupon.percent_off or 0)) / 100
    credit = -pricing.whole(pricing.cost(old.price, old.quantity or 0) * unused * paid)
    charge = pricing.whole(pricing.cost(new.price, new.quantity or 0) * share)
    return (
        _line(life, old, credit, old.quantity, at, old.period_end, proration=True),
        _line(life, new, charge, new.quantity, at, new.period_end, proration=share != 1),
    )


def _line(
    life: Life,
    item: Item,
    amount: int,
    quantity: int | None,
    start: int,
    end: int,
    *,
    proration: bool = False,
) -> Line:
    name = life.catalogue.plan_of(item.price).name
    if proration:
        told = f"{'Unused' if amount < 0 else 'Remaining'} time on {quantity} × {name}"
    else:
        told = f"{quantity} × {name}"
    return Line(
        id=life.book.new_id("il_1"),
        amount=amount,
        description=told,
        price=item.price,
        item=item.id,
        quantity=quantity,
        start=start,
        end=end,
        proration=proration,
    )


def _rebated(lines: tuple[Line, ...], discounts: tuple[Discount, ...], currency: str) -> tuple[Line, ...]:
    """Discounts in their order: percentages of each line, amounts off the first lines until they are used up.
    A credit is not discounted: it is of a discounted amount already."""
    rebated = list(lines)
    for discount in discounts:
        left = discount.coupon.amount_off or 0
        for number, line in enumerate(rebated):
            rest = line.amount - sum(amount for _, amount in line.discounts)
            off = pricing.rebate(rest, discount, currency)
            if discount.coupon.percent_off is None:
                off = min(off, left)
                left -= off
            if off:
                taken = (*line.discounts, (discount.id, off))
                rebated[number] = msgspec.structs.replace(line, discounts=taken)
    return tuple(rebated)
