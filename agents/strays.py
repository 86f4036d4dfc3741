"""Events that reach their customer only through a charge: disputes, early fraud warnings, old refunds.

Stripe puts no customer into them, so the gateway keeps them under their own ID. The charge is fetched once, and
the event is put on the topic again under its customer, where it is worked on like any other.
"""

from __future__ import annotations

import msgspec

from agents.events import CUSTOMER, FAMILIES, Event
from stream.stripe.api import Away, NoAnswer, StripeApi

# Charges whose customer is remembered; some 150 bytes each.
MAX_OWNERS = 50_000


class Owner(msgspec.Struct, frozen=True, gc=False):
    """Whose a stray event is. `key` is None for a guest's, who is nobody's customer; `error` says why it is
    not known."""

    key: str | None = None
    error: str | None = None


def is_stray(event: Event) -> bool:
    """Whether the event lies under its object's own ID instead of its customer's."""
    own = (event.record.key or b"").decode().rpartition("/")[2]
    return event.family != CUSTOMER and own == event.object.id


class Owners:
    """Finds out whose a charge is, and remembers it: a charge does not change hands."""

    def __init__(self, stripe: StripeApi) -> None:
        self._stripe = stripe
        self._known: dict[tuple[str | None, str], str | None] = {}

    async def of(self, event: Event) -> Owner:
        """Whose a stray event is. Raises Away when Stripe is to be asked again."""
        id_, type_ = event.object.id, event.ref.type
        via = FAMILIES[event.family].charge
        if via is None:
            return Owner(
                error=f"{type_} about {id_} names no customer, and Stripe names one in every such event. Whose it "
                "is cannot be known; look at it in Stripe."
            )
        charge = via(event.object)
        if charge is None:
            return Owner(error=f"{type_} about {id_} names neither a customer nor a charge.")
        if charge == id_:
            return Owner()
        account = (event.record.key or b"").decode().rpartition("/")[0] or None
        if (account, charge) not in self._known:
            try:
                found = await self._stripe.charge(charge, account)
            except Away:
                raise
            except NoAnswer as error:
                return Owner(error=f"{type_} about {id_} names no customer, only a charge. {error}")
            if len(self._known) >= MAX_OWNERS:
                self._known.clear()
            self._known[account, charge] = found.customer
        customer = self._known[account, charge]
        return Owner(f"{account}/{customer}" if account and customer else customer)
