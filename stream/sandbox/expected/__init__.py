"""What Salesforce should hold after a simulated run, worked out from the simulator's final truth.

Nothing here is shared with the projector: it is the second opinion that the demo compares with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stream.sandbox.expected import ambiguous, churn, money, opportunities, subscriptions
from stream.sandbox.expected.customers import KEY, Record, account, contact, known_before
from stream.sandbox.stripe.objects import Customer
from stream.sandbox.stripe.world import World

STRIPE_ID = "Stripe_Id__c"


def customers(world: World) -> dict[str, Customer]:
    """Every customer that ever signed up, by routing key."""
    return {key: thing for key, thing in world.things.items() if isinstance(thing, Customer)}


def records(world: World) -> dict[str, dict[str, Record]]:
    """By object and key: the fields that the record should have; None is an empty field. Accounts and Contacts have
    the customer's routing key, Opportunities one made of what they say, all others their Stripe ID. Of customers
    whom several records could be there is nothing."""
    doubtful = ambiguous.identities(world).keys()
    known = {key: it for key, it in customers(world).items() if key not in doubtful}
    lives = {key: told for key, told in subscriptions.lives(world).items() if key in known}
    purses = {key: purse for key, purse in money.purses(world).items() if key in known}
    return {
        "Account": {
            key: account(key, customer)
            | subscriptions.account(world, customer, lives.get(key, []))
            | money.account(customer, purses.get(key, money.Purse()))
            | churn.account(lives.get(key, []))
            for key, customer in known.items()
        },
        "Contact": {key: contact(key, customer) for key, customer in known.items()},
        "Opportunity": opportunities.keyed(
            deal for key, told in lives.items() for deal in opportunities.deals(told)
        )
        | churn.deals_now([*earlier(world), *doubtful], lives),
        "Task": money.tasks(purses.values()),
        "Case": money.cases(purses.values()),
        "CampaignMember": churn.members(lives),
    }


def earlier(world: World) -> dict[str, tuple[Record, Record | None]]:
    """What Salesforce held before: by routing key of the customer whom it stands for, an Account and, where the
    customer is known by e-mail, its Contact."""
    known = customers(world)
    doubtful = ambiguous.identities(world).keys()
    return {
        who.key: known_before(who)
        for who in world.identities
        if who.known and who.key in known and who.key not in doubtful
    }


def key_all(name: str, actual: Iterable[Record]) -> list[tuple[str, Record]]:
    """The records that Salesforce holds, each with its key; with its own ID where it is no customer's."""
    if name == "Opportunity":
        held = list(actual)
        ours = opportunities.keyed(record for record in held if record.get(STRIPE_ID))
        return [*ours.items(), *((record["Name"], record) for record in held if not record.get(STRIPE_ID))]
    key = STRIPE_ID if name in ("Task", "Case", "CampaignMember") else KEY
    return [(record.get(key) or record["Id"], record) for record in actual]


def compare(
    expected: Mapping[str, Record], actual: Iterable[tuple[str, Record]], before: Mapping[str, str]
) -> tuple[int, list[str]]:
    """How many records there are, and a line for each that is wrong. `before` are the Salesforce IDs that
    records must have kept, by key."""
    held: dict[str, list[Record]] = {}
    count = 0
    for key, record in actual:
        count += 1
        held.setdefault(key, []).append(record)
    wrong = [f"{key}: not expected" for key in held if key not in expected]
    for key, fields in expected.items():
        match held.get(key, []):
            case []:
                wrong.append(f"{key}: missing")
            case [record]:
                differing = [
                    f"{name} {record.get(name)!r} instead of {value!r}"
                    for name, value in fields.items()
                    if record.get(name) != value
                ]
                if key in before and record["Id"] != before[key]:
                    differing.append("Id")
                if differing:
                    wrong.append(f"{key}: {', '.join(differing)}")
            case several:
                wrong.append(f"{key}: {len(several)} times")
    return count, wrong
