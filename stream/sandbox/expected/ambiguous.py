"""Customers whom several records of Salesforce could be. Nobody guesses: all that is about them is set aside, and
the candidates stay as they were, until a person decides."""

from __future__ import annotations

from collections.abc import Mapping

from stream.sandbox.expected.customers import KEY, Record, known_before
from stream.sandbox.stripe.identities import Identity
from stream.sandbox.stripe.world import World

CODE = "ambiguous_match"


def identities(world: World) -> dict[str, Identity]:
    """Those who signed up, by routing key."""
    return {
        who.key: who
        for who in world.identities
        if who.known in ("ambiguous-email", "ambiguous-company") and who.key in world.things
    }


def candidates(world: World) -> list[tuple[Record, Record | None]]:
    """What Salesforce held before: two Accounts for each, with their Contacts where they are known by e-mail."""
    return [pair for who in identities(world).values() for pair in (known_before(who), known_before(who))]


def untouched(held: Mapping[str, Record]) -> dict[str, Record]:
    """What such records, by Salesforce ID, are to say in the end: what they said, and no customer."""
    return {id_: {**record, KEY: None} for id_, record in held.items()}


def set_aside(world: World, refused: Mapping[str, Mapping[str, str]]) -> tuple[int, list[str]]:
    """How many customers something was set aside of, and a line for each whose dead letters are not as they should
    be. `refused` gives the causes by routing key and record."""
    doubtful = identities(world)
    wrong = [
        f"{key}: {what} was set aside ({cause})"
        for key, causes in refused.items()
        if key not in doubtful
        for what, cause in causes.items()
    ]
    for key in doubtful:
        cause = refused.get(key, {}).get(f"Account:{key}", "not set aside")
        if not cause.startswith(CODE):
            wrong.append(f"{key}: {cause} instead of {CODE}")
    return len(refused), wrong
