"""`expand[]`: IDs replaced by what they name, and what is left out unless it is asked for
(docs.stripe.com/api/expanding_objects)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from stream.sandbox.stripe.objects import (
    Charge,
    Coupon,
    Customer,
    Discount,
    Invoice,
    InvoicePayment,
    Price,
    Subscription,
    Thing,
    key_of,
)
from stream.sandbox.stripe.render import catalogue, invoice, payment
from stream.sandbox.stripe.render.form import BASIL, Form, Json, listed

# An ID by its looks: `cus_…`, `price_…`; no word such as `past_due` or `charge_automatically` is like it.
_ID = re.compile(r"[a-z]{2,5}_[A-Za-z0-9]{8,}")

# Stripe expands four levels and no more.
DEEPEST = 4


class NotExpandable(ValueError):
    """A path of `expand[]` that leads nowhere, in Stripe's words."""


class Finder:
    """Finds by ID what belongs to the same account as one thing; discounts, prices and coupons also within it."""

    def __init__(self, it: Thing, things: Mapping[str, Thing]) -> None:
        self._account = it.account
        self._things = things
        self._within = {it.id: it} | _within(it)

    def __call__(self, id_: str) -> Thing | None:
        found = self._things.get(key_of(self._account, id_)) or self._within.get(id_)
        if found is not None:
            self._within |= _within(found)
        return found

    def payments_of(self, invoice_id: str) -> list[InvoicePayment]:
        """The payments of an invoice, which name it."""
        return [
            it
            for it in self._things.values()
            if isinstance(it, InvoicePayment) and it.account == self._account and it.invoice == invoice_id
        ]


def _within(it: Thing) -> dict[str, Thing]:
    discounts: tuple[Discount, ...] = ()
    within: dict[str, Thing] = {}
    if isinstance(it, Subscription | Invoice):
        discounts = it.discounts
    if isinstance(it, Subscription):
        within |= {item.price.id: item.price for item in it.items}
    elif isinstance(it, Invoice):
        within |= {line.price.id: line.price for line in it.lines}
    elif isinstance(it, Customer) and it.discount:
        discounts = (it.discount,)
    elif isinstance(it, Discount):
        discounts = (it,)
    for discount in discounts:
        within |= {discount.id: discount, discount.coupon.id: discount.coupon}
    return within


Render = Callable[[Thing, Form], Json]


def expand(within: Json, path: str, find: Finder, form: Form, render: Render) -> None:
    """Expands one path in place. Raises NotExpandable."""
    steps = path.split(".")
    if len([step for step in steps if step != "data"]) > DEEPEST:
        raise NotExpandable(f"You cannot expand more than {DEEPEST} levels of a property.")
    try:
        _expand(within, steps, find, form, render)
    except KeyError as missing:
        raise NotExpandable(f"This property cannot be expanded ({path}).") from missing


def _expand(within: Json, steps: list[str], find: Finder, form: Form, render: Render) -> None:
    """Raises KeyError for a step that leads nowhere."""
    step, rest = steps[0], steps[1:]
    if step not in within:
        within[step] = _left_out(within, step, find, form, render)
    value = within[step]
    if isinstance(value, str):
        value = within[step] = _named(value, step, find, form, render)
    elif isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        value = within[step] = [_named(entry, step, find, form, render) for entry in value]
    for entry in value if isinstance(value, list) else [value]:
        if rest and isinstance(entry, dict):
            _expand(entry, rest, find, form, render)


def _named(id_: str, step: str, find: Finder, form: Form, render: Render) -> Any:
    """What an ID names. It stays when nobody knows it; a plain text such as a status raises KeyError."""
    found = find(id_)
    if found is not None:
        return render(found, form)
    if step == "id" or not _ID.fullmatch(id_):
        raise KeyError(step)
    return id_


def _left_out(within: Json, step: str, find: Finder, form: Form, render: Render) -> Any:
    """What an object bears only when it is asked for. Raises KeyError if it has no such thing."""
    it = find(within.get("id", ""))
    if isinstance(it, Price) and step == "tiers":
        return catalogue.tiers(it)
    if isinstance(it, Price) and step == "currency_options":
        return catalogue.currency_options(it)
    if isinstance(it, Coupon) and step == "applies_to":
        return None  # every coupon here is for everything
    if isinstance(it, Coupon) and step == "currency_options":
        return {it.currency: {"amount_off": it.amount_off}} if it.currency else {}
    if isinstance(it, Charge) and step == "refunds":
        return payment.refunds(it, form)
    if isinstance(it, Invoice) and step == "payments" and form.version >= BASIL:
        paid = [invoice.payment(one, form) for one in find.payments_of(it.id)]
        return listed(paid, f"/v1/invoice_payments?invoice={it.id}", counted=False)
    raise KeyError(step)
