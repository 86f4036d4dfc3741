"""What Stripe's API tells of prices, coupons and discounts and its webhooks do not, as it is kept.

Amounts never go stale: of a price or coupon that exists, only names, metadata and `active` can be changed
(docs.stripe.com/api/prices/update, docs.stripe.com/api/coupons/update), and of a discount nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from stream.stripe.shapes import Coupon, Discount, Price, Product


class Gone(Exception):
    """Stripe no longer has it."""


class Lookup(Protocol):
    """What is known of one account's catalogue; None for what was not fetched yet.

    Raises Gone for a price or coupon that was asked for and that Stripe does not have.
    """

    def price(self, id_: str) -> Price | None:
        """A price with its tiers and all its currencies."""

    def coupon(self, id_: str) -> Coupon | None:
        """A coupon with all its currencies and the products that it is limited to."""

    def product(self, price: str) -> Product | None:
        """The product that came with a price."""

    def discount(self, id_: str) -> Discount | None:
        """A discount with its coupon's ID; without one when neither Stripe nor an event tells of it."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fetched thing; a price comes with its product. `fetched_at` in epoch seconds.

    `renewed` says that something was known of it before, and has changed. All else is None for what Stripe does
    not have: that too is known then.
    """

    fetched_at: int
    renewed: bool = False
    price: Price | None = None
    product: Product | None = None
    coupon: Coupon | None = None
    discount: Discount | None = None


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Entry).decode


def key(id_: str, account: str | None = None) -> str:
    """The key of an entry: IDs of prices, coupons and discounts do not collide, those of accounts may."""
    return f"{account}/{id_}" if account else id_


class Entries:
    """The entries of one account (None: one's own), looked up in what holds those of all accounts."""

    def __init__(self, entries: Mapping[str, Entry], account: str | None = None) -> None:
        self._entries = entries
        self._account = account

    def price(self, id_: str) -> Price | None:
        """See `Lookup`."""
        entry = self._entry(id_)
        if entry and not entry.price:
            raise Gone(id_)
        return entry.price if entry else None

    def product(self, price: str) -> Product | None:
        """See `Lookup`."""
        entry = self._entry(price)
        return entry.product if entry else None

    def coupon(self, id_: str) -> Coupon | None:
        """See `Lookup`."""
        entry = self._entry(id_)
        if entry and not entry.coupon:
            raise Gone(id_)
        return entry.coupon if entry else None

    def discount(self, id_: str) -> Discount | None:
        """See `Lookup`."""
        entry = self._entry(id_)
        return (entry.discount or Discount(id_)) if entry else None

    def _entry(self, id_: str) -> Entry | None:
        return self._entries.get(key(id_, self._account))
