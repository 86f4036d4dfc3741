"""What people should have been told, by the simulator's truth: each thing once on every channel.

A message is known by what it says: how it begins, whose page in Stripe it names, and words of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from stream.sandbox.expected import churn, money, opportunities, subscriptions
from stream.sandbox.expected.subscriptions import Told, date
from stream.sandbox.stripe.objects import Charge, Dispute, Invoice, key_of
from stream.sandbox.stripe.world import World

# ARR, in units of any currency, from which an expansion is told as delivered.
LARGE = 10_000


class Notice(msgspec.Struct, frozen=True):
    """One thing to be told: how the message begins, the customer's routing key, and what it says besides."""

    begins: str
    customer: str
    words: tuple[str, ...] = ()

    def fits(self, message: str) -> bool:
        """Whether a message tells this."""
        account, _, id_ = self.customer.rpartition("/")
        page = "/".join(filter(None, ("https://dashboard.stripe.com", account, "customers", id_)))
        said = message.split()
        return (
            message.startswith(f"{self.begins}: ")
            and page in said
            and all(it in message for it in self.words)
        )

    def __str__(self) -> str:
        return f"{self.begins}: {self.customer} {' '.join(self.words)}".strip()


def notices(world: World) -> list[Notice]:
    """All of them."""
    lives = subscriptions.lives(world)
    return [*_money(world), *(it for key, told in lives.items() for it in _of_subscriptions(key, told))]


def _money(world: World) -> Iterator[Notice]:
    """One for each attempt that failed, and for each dispute that was opened."""
    for event in world.events:
        match event.thing:
            case Invoice() as it if event.type in money.FAILURES:
                amount = money.text(it.amount_due - it.amount_paid, it.currency)
                tries = (f"Attempts so far: {it.attempt_count}",) if it.attempt_count else ()
                words = (amount, f"Invoice {it.number}", *tries)
                yield Notice("Payment failed", key_of(it.account, it.customer), words)
            case Dispute() as it if event.type == "charge.dispute.created":
                charge = world.things[key_of(it.account, it.charge)]
                assert isinstance(charge, Charge)  # noqa: S101
                assert charge.customer  # noqa: S101  a guest's is never contested here
                words = (money.text(it.amount, it.currency), it.reason.replace("_", " "), date(it.due_by))
                yield Notice("Disputed", key_of(it.account, charge.customer), words)


def _of_subscriptions(key: str, told: list[Told]) -> Iterator[Notice]:
    for one in told:
        if opportunities.start(one):
            yield Notice("New subscription", key)
        for it in opportunities.changes(one):
            if it["Stripe_Movement__c"] == "expansion" and it["Stripe_ARR__c"] >= LARGE:
                yield Notice("Expansion", key)
    if left := churn.left(told):
        yield Notice("Churned", key, (churn.reason(left),))


def compare(expected: Iterable[Notice], messages: Sequence[str]) -> tuple[list[Notice], list[str]]:
    """What was not told, and a line for each message that told again, or what should not have been told."""
    left = list(messages)
    missing = []
    # What says most is looked for first: fewer words fit more messages.
    for notice in sorted(expected, key=lambda it: -len(it.words)):
        found = next((at for at, message in enumerate(left) if notice.fits(message)), None)
        if found is None:
            missing.append(notice)
        else:
            del left[found]
    return missing, [f"not expected, or told before: {message.splitlines()[0]}" for message in left]
