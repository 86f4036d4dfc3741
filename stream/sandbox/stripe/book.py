"""What happens is written down here: the truth changes, and the event that Stripe would send is told."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeVar

import msgspec

from stream.sandbox.stripe.objects import Thing

_LETTERS = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"

T = TypeVar("T", bound=Thing)


class Request(msgspec.Struct, frozen=True, gc=False):
    """The API call that caused an event; both are None for what Stripe does by itself."""

    id: str | None = None
    idempotency_key: str | None = None


class StripeEvent(msgspec.Struct, frozen=True):
    """One event. `thing` is the object as it was then, `before` as it was until then (updates only).

    `version` is the API version in which the endpoint gets it; `created` is in epoch seconds.
    """

    id: str
    type: str
    created: int
    version: str
    thing: Thing
    before: Thing | None
    request: Request
    pending_webhooks: int = 1
    livemode: bool = False

    @property
    def account(self) -> str | None:
        """The connected account it comes from."""
        return self.thing.account


class Movement(msgspec.Struct, frozen=True):
    """Something that a person would say happened, and the events that told it.

    `kind`: signed-up, edited, deleted; new, trial-started, trial-converted, upgrade, downgrade, seats,
    interval, coupon-added, coupon-ended, paused, resumed, cancellation-scheduled, cancellation-withdrawn,
    cancelled, expired, renewed, reactivated; payment-failed, recovered, unpaid, written-off, refunded,
    disputed, dispute-won, dispute-lost, warned; authorised, captured, lapsed;
    collection-changed, billed, overdue, paid; credited, credit-voided; item-added, item-converted. `customer` is
    its key.

    `monthly_before` and `monthly_after` are what the subject's licensed items bring in a month at list price,
    before discounts, in minor units of its currency; both are 0 where the subject is no subscription.
    """

    at: int
    kind: str
    customer: str
    subject: str
    events: tuple[str, ...]
    monthly_before: Fraction = Fraction(0)
    monthly_after: Fraction = Fraction(0)


class Book:
    """All things of one owner, and all events told of them, in true order.

    `version_at` gives the API version in which an event of some second is sent.
    """

    def __init__(self, rng: random.Random, account: str | None, version_at: Callable[[int], str]) -> None:
        self.rng = rng
        self.account = account
        self.things: dict[str, Thing] = {}
        self.events: list[StripeEvent] = []
        self.movements: list[Movement] = []
        self.request = Request()
        self.version_at = version_at

    def new_id(self, prefix: str, length: int = 24) -> str:
        """A fresh ID of Stripe's form."""
        return prefix + "".join(self.rng.choices(_LETTERS, k=length))

    def called(self) -> None:
        """What follows is caused by an API call."""
        digits = "".join(self.rng.choices(_HEX, k=32))
        parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
        self.request = Request(self.new_id("req_", 14), "-".join(parts))

    def automatic(self) -> None:
        """What follows Stripe does by itself."""
        self.request = Request()

    def get(self, id_: str, kind: type[T]) -> T:
        """A thing as it now is."""
        thing = self.things[id_]
        assert isinstance(thing, kind), f"{id_} is a {type(thing).__name__}"  # noqa: S101
        return thing

    def add(self, thing: T, *types: str) -> T:
        """A new thing, told by events of these types."""
        self.things[thing.id] = thing
        for type_ in types:
            self.tell(type_, thing, thing.created)
        return thing

    def change(self, thing: T, at: int, *types: str, **changes: Any) -> T:
        """A thing changed, told by events of these types; an `*.updated` only if there is a difference."""
        after = msgspec.structs.replace(thing, **changes)
        self.things[thing.id] = after
        for type_ in types:
            if not type_.endswith(".updated"):
                # Old payloads of `charge.refunded` carry `previous_attributes` too.
                self.tell(type_, after, at, thing if type_ == "charge.refunded" else None)
            elif after != thing:
                self.tell(type_, after, at, thing)
        return after

    def tell(self, type_: str, thing: Thing, at: int, before: Thing | None = None) -> None:
        """One event about a thing."""
        self.events.append(
            StripeEvent(
                id=self.new_id("evt_1"),
                type=type_,
                created=at,
                version=self.version_at(at),
                thing=thing,
                before=before,
                request=self.request,
                pending_webhooks=self.rng.randint(1, 3),
            )
        )

    def moved(
        self, at: int, kind: str, customer: str, subject: str, since: int, monthly: tuple[Fraction, Fraction]
    ) -> None:
        """Notes what happened; `since` is how many events there were before."""
        told = tuple(event.id for event in self.events[since:])
        self.movements.append(Movement(at, kind, customer, subject, told, *monthly))
