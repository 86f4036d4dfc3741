"""On request, an Opportunity's products: one line for each item of the subscription.

A Stripe price is a Product2 with an entry in the price book, which holds but one for each product; an item is a
line. Lines are made of what a subscription was when it was taken up, and of what a renewal is for: both never
change, so no line has to go again. With lines Salesforce sums up Amount itself; their totals are the Opportunity's
amount to the cent.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from agents.plans import every, name_of
from agents.pricing import Money, Mrr, parsed
from agents.touched import Touched
from stream.records import Reference, Scalar, Write
from stream.settings import STRIPE_ID_FIELD
from stream.stripe.shapes import Item, Subscription

PRODUCT, ENTRY, LINE = "Product2", "PricebookEntry", "OpportunityLineItem"


def lines(touched: Touched, opportunity: str, it: Subscription, mrr: Mrr, version: int) -> Iterable[Write]:
    """The products, the price book's entries and the lines of one Opportunity; none without a price book."""
    book = touched.settings.opportunities.pricebook
    if book is None:
        return
    for item, total in zip(it.items, totals(it, mrr, touched.settings.opportunities.amount), strict=True):
        yield _write(touched, PRODUCT, item.price.id, version, _product(touched, item))
        price: dict[str, Scalar] = {"UnitPrice": _unit(item), "IsActive": True, "Pricebook2Id": book}
        parents = {"Product2": Reference(PRODUCT, STRIPE_ID_FIELD, item.price.id)}
        yield _write(touched, ENTRY, item.price.id, version, price, parents, ("Pricebook2Id", "Product2"))
        fields: dict[str, Scalar] = {"Quantity": float(max(item.quantity or 1, 1)), "TotalPrice": total}
        parents = {
            "Opportunity": Reference("Opportunity", STRIPE_ID_FIELD, opportunity),
            "PricebookEntry": Reference(ENTRY, STRIPE_ID_FIELD, item.price.id),
        }
        yield _write(touched, LINE, f"{opportunity}:{item.id}", version, fields, parents, tuple(parents))


def totals(it: Subscription, mrr: Mrr, amount: str) -> list[float]:
    """What each item adds, after its own discounts and its share of the others. Rounded so that the sum is that of
    the Opportunity: the last item takes what is left."""
    own = {item.id: Fraction(0) for item in it.items}
    whole = Fraction(0)
    for line in mrr.lines:
        if line.item in own:
            own[line.item] += line.money.minor
        else:
            whole += line.money.minor
    before = sum(own.values(), Fraction(0))
    rest = (before + whole) / before if before else Fraction(1)
    months = 12 if amount == "arr" else 1
    told = [Money(minor * rest * months, mrr.worth.currency).rounded for minor in own.values()]
    if told:
        told[-1] += (mrr.worth * months).rounded - sum(told)
    return [float(one) for one in told]


def _product(touched: Touched, item: Item) -> dict[str, Scalar]:
    known = touched.lookup.product(item.price.id)
    if known is None or not known.name:
        return {"Name": name_of(item.price)[:255], "IsActive": True}
    return {"Name": f"{known.name} {every(item.price)}".strip()[:255], "IsActive": True}


def _unit(item: Item) -> float:
    """The list price of one unit and period; 0 for tiers, which have none."""
    return float(Money(parsed(item.price.unit_amount or "0"), item.price.currency).rounded)


def _write(
    touched: Touched,
    object_: str,
    id_: str,
    version: int,
    fields: dict[str, Scalar],
    parents: dict[str, Reference] | None = None,
    if_empty: tuple[str, ...] = (),
) -> Write:
    return Write(
        object=object_,
        external_id_field=STRIPE_ID_FIELD,
        external_id=id_,
        account=touched.key,
        version=version,
        fields=fields,
        events=touched.refs,
        parents=parents or {},
        if_empty=if_empty,
    )
