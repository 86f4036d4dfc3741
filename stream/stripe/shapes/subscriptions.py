"""Subscriptions and their items.

docs.stripe.com/api/subscriptions/object, docs.stripe.com/api/subscription_items/object. What versions changed:
plan and quantity of the one item at the top (2017), prices beside plans (2020), periods on the items
(2025-03-31.basil), discounts in a list only (basil) with their coupon under `source` (2025-09-30.clover), trials
of single items and the reason of a pause (2026-09-30.endive).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

import msgspec

from stream.stripe.shapes.coupons import Discount, _Discount, discounts
from stream.stripe.shapes.prices import Price, price
from stream.stripe.shapes.wire import Expandable, id_of, part


class Item(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One line of a subscription. Times in epoch seconds; the period is the subscription's before basil.

    `quantity` is None for a metered price. `trial_end` is of a trial of this item alone.
    """

    id: str
    price: Price
    quantity: int | None = None
    discounts: tuple[Discount, ...] = ()
    period_start: int | None = None
    period_end: int | None = None
    trial_start: int | None = None
    trial_end: int | None = None
    metadata: dict[str, str] = {}


class Cancellation(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """`cancellation_details`: `reason` is Stripe's word (cancellation_requested, payment_failed, …),
    `feedback` and `comment` are the customer's."""

    reason: str | None = None
    feedback: str | None = None
    comment: str | None = None


class CollectionPause(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """`pause_collection`: invoices are made, and `behavior` says what becomes of them."""

    behavior: str
    resumes_at: int | None = None


class Paused(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Why (`pause_requested`, `final_payment_failure`, …) and since when the status is `paused`."""

    reason: str | None = None
    at: int | None = None


class Subscription(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a customer has subscribed to. Times in epoch seconds.

    `more_items` says that Stripe has sent only the first of its items (the list's `has_more`).
    """

    id: str
    status: str
    customer: str | None = None
    currency: str | None = None
    items: tuple[Item, ...] = ()
    more_items: bool = False
    discounts: tuple[Discount, ...] = ()
    created: int | None = None
    start_date: int | None = None
    billing_cycle_anchor: int | None = None
    trial_start: int | None = None
    trial_end: int | None = None
    cancel_at: int | None = None
    cancel_at_period_end: bool = False
    canceled_at: int | None = None
    ended_at: int | None = None
    cancellation: Cancellation = Cancellation()
    pause_collection: CollectionPause | None = None
    paused: Paused | None = None
    latest_invoice: str | None = None
    schedule: str | None = None
    collection_method: str | None = None
    metadata: dict[str, str] = {}

    @property
    def period_start(self) -> int | None:
        """The start of the period that ends first."""
        ends = [(item.period_end, item.period_start) for item in self.items if item.period_end is not None]
        return min(ends, key=lambda period: period[0])[1] if ends else None

    @property
    def period_end(self) -> int | None:
        """When the next of its items renews."""
        return min((item.period_end for item in self.items if item.period_end is not None), default=None)

    @property
    def ends_at(self) -> int | None:
        """When it ends, as scheduled; None when no end is set."""
        if self.cancel_at is not None or not self.cancel_at_period_end:
            return self.cancel_at
        return max((item.period_end for item in self.items if item.period_end is not None), default=None)


_NULL = msgspec.Raw(b"null")


class _Trial(msgspec.Struct):
    start_date: int | None = None
    end_date: int | None = None


class _Item(msgspec.Struct, gc=False):
    id: str
    price: msgspec.Raw = _NULL
    plan: msgspec.Raw = _NULL  # beside every price, and read only where there is none
    quantity: Annotated[int, msgspec.Meta(ge=0)] | None = None
    discounts: list[str | _Discount] | None = None
    current_period_start: int | None = None
    current_period_end: int | None = None
    current_trial: _Trial | None = None
    metadata: dict[str, str] | None = None


class _Items(msgspec.Struct):
    data: list[_Item] = []
    has_more: bool = False


class _Reason(msgspec.Struct):
    type: str | None = None


class _Paused(msgspec.Struct):
    subscription: _Reason | None = None
    transitioned_at: int | None = None


class _StatusDetails(msgspec.Struct):
    paused: _Paused | None = None


class _Subscription(msgspec.Struct, gc=False):
    id: str
    status: str
    customer: Expandable = None
    currency: str | None = None
    items: msgspec.Raw = _NULL
    plan: msgspec.Raw = _NULL
    quantity: Annotated[int, msgspec.Meta(ge=0)] | None = None
    current_period_start: int | None = None
    current_period_end: int | None = None
    discount: _Discount | None = None
    discounts: list[str | _Discount] | None = None
    created: int | None = None
    start_date: int | None = None
    start: int | None = None
    billing_cycle_anchor: int | None = None
    trial_start: int | None = None
    trial_end: int | None = None
    cancel_at: int | None = None
    cancel_at_period_end: bool | None = None
    canceled_at: int | None = None
    ended_at: int | None = None
    cancellation_details: Cancellation | None = None
    pause_collection: CollectionPause | None = None
    status_details: _StatusDetails | None = None
    latest_invoice: Expandable = None
    schedule: Expandable = None
    collection_method: str | None = None
    billing: str | None = None
    metadata: dict[str, str] | None = None


class _List(msgspec.Struct):
    data: list[msgspec.Raw]


class _ItemList(msgspec.Struct):
    data: list[_Item]


_subscription = msgspec.json.Decoder(_Subscription).decode
# Most items of most events are of a few prices, and these come in the same bytes. 2,000 of them take some 3 MB.
_price = lru_cache(maxsize=2000)(price)
_items = msgspec.json.Decoder(_Items | None).decode
_list = msgspec.json.Decoder(_List).decode
_item_list = msgspec.json.Decoder(_ItemList).decode


def subscription(raw: msgspec.Raw | bytes) -> Subscription:
    """A subscription of any API version."""
    wire = _subscription(raw)
    period = (wire.current_period_start, wire.current_period_end)
    shaped, more = part("$.items", lambda raw: _listed(raw, *period), wire.items)
    if not shaped and wire.plan != _NULL:
        shaped = (
            _shaped(_Item(wire.id, plan=wire.plan, quantity=wire.quantity), *period, "$.items.data[0]"),
        )
    paused = wire.status_details.paused if wire.status_details else None
    return Subscription(
        id=wire.id,
        status=wire.status,
        customer=id_of(wire.customer),
        currency=wire.currency or (shaped[0].price.currency if shaped else None),
        items=shaped,
        more_items=more,
        discounts=discounts(wire.discount, wire.discounts),
        created=wire.created,
        start_date=wire.start_date if wire.start_date is not None else wire.start,
        billing_cycle_anchor=wire.billing_cycle_anchor,
        trial_start=wire.trial_start,
        trial_end=wire.trial_end,
        cancel_at=wire.cancel_at,
        cancel_at_period_end=bool(wire.cancel_at_period_end),
        canceled_at=wire.canceled_at,
        ended_at=wire.ended_at,
        cancellation=wire.cancellation_details or Cancellation(),
        pause_collection=wire.pause_collection,
        paused=Paused(paused.subscription.type if paused.subscription else None, paused.transitioned_at)
        if paused
        else None,
        latest_invoice=id_of(wire.latest_invoice),
        schedule=id_of(wire.schedule),
        collection_method=wire.collection_method or wire.billing,
        metadata=wire.metadata or {},
    )


def subscriptions(raw: msgspec.Raw | bytes) -> tuple[Subscription, ...]:
    """A page of subscriptions, as `GET /v1/subscriptions` lists them."""
    return tuple(subscription(one) for one in _list(raw).data)


def items(raw: msgspec.Raw | bytes) -> tuple[Item, ...]:
    """A page of subscription items, as `GET /v1/subscription_items` lists them (basil and newer)."""
    return tuple(_shaped(item, None, None, f"$.data[{n}]") for n, item in enumerate(_item_list(raw).data))


# An update mostly leaves the items alone: then those before it, and those of the next event, are the same bytes.
@lru_cache(maxsize=500)
def _listed(raw: bytes, period_start: int | None, period_end: int | None) -> tuple[tuple[Item, ...], bool]:
    """The items of a list, and whether there are more. Before basil their period is the subscription's."""
    listed = _items(raw) or _Items()
    told = enumerate(listed.data)
    return tuple(_shaped(it, period_start, period_end, f"$.data[{n}]") for n, it in told), listed.has_more


def _shaped(item: _Item, period_start: int | None, period_end: int | None, at: str) -> Item:
    start, end = item.current_period_start, item.current_period_end
    trial = item.current_trial or _Trial()
    return Item(
        id=item.id,
        price=_sold(item, at),
        quantity=item.quantity,
        discounts=discounts(None, item.discounts),
        period_start=start if start is not None else period_start,
        period_end=end if end is not None else period_end,
        trial_start=trial.start_date,
        trial_end=trial.end_date,
        metadata=item.metadata or {},
    )


def _sold(item: _Item, at: str) -> Price:
    """An item's price, or the plan that was there alone before prices came, in 2020."""
    if item.price != _NULL:
        return part(f"{at}.price", _price, item.price)
    if item.plan != _NULL:
        return part(f"{at}.plan", _price, item.plan)
    raise msgspec.ValidationError(f"Object missing required field `price` - at `{at}`")
