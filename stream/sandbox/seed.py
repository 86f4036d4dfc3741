"""What a simulated run puts into Salesforce before the first event."""

from __future__ import annotations

from collections.abc import Sequence

import aiohttp
import msgspec

from stream.sandbox import expected
from stream.sandbox.expected import ambiguous
from stream.sandbox.expected.churn import CAMPAIGN, deals
from stream.sandbox.expected.customers import Record
from stream.sandbox.stripe.world import World


class Seeded(msgspec.Struct, frozen=True):
    """What was there: the Salesforce IDs of records that are a customer's and have to keep them (object → routing
    key → ID), and records that several customers' doubts are about (object → ID → fields)."""

    kept: dict[str, dict[str, str]]
    doubtful: dict[str, dict[str, Record]]


async def seed(http: aiohttp.ClientSession, url: str, world: World) -> Seeded:
    """Puts it there: who is known already, the deals that people have open with them, the win-back Campaign."""
    earlier = expected.earlier(world)
    accounts, contacts = await _people(http, url, list(earlier.values()))
    kept = {
        "Account": dict(zip(earlier, accounts, strict=True)),
        "Contact": dict(zip((key for key, (_, it) in earlier.items() if it), contacts, strict=True)),
    }
    doubtful = ambiguous.candidates(world)
    accounts, contacts = await _people(http, url, doubtful)
    named = {
        "Account": dict(zip(accounts, (account for account, _ in doubtful), strict=True)),
        "Contact": dict(zip(contacts, (contact for _, contact in doubtful if contact), strict=True)),
    }
    # Of each two, one has open deals.
    first = dict(zip(ambiguous.identities(world), accounts[::2], strict=True))
    await _insert(http, url, "Opportunity", deals({**kept["Account"], **first}))
    campaign = await _insert(http, url, "Campaign", [{"Name": "Win-back"}])
    assert campaign == [CAMPAIGN], "The writer was told of it before it was there."  # noqa: S101
    return Seeded(kept, named)


async def _people(
    http: aiohttp.ClientSession, url: str, pairs: Sequence[tuple[Record, Record | None]]
) -> tuple[list[str], list[str]]:
    """The IDs of the new Accounts, and of the new Contacts of those that have one."""
    accounts = await _insert(http, url, "Account", [account for account, _ in pairs])
    people = [
        {**contact, "AccountId": id_} for id_, (_, contact) in zip(accounts, pairs, strict=True) if contact
    ]
    return accounts, await _insert(http, url, "Contact", people)


async def _insert(http: aiohttp.ClientSession, url: str, name: str, rows: list[Record]) -> list[str]:
    async with http.post(f"{url}/sandbox/seed", json={name: rows}) as answer:
        answer.raise_for_status()
        made: list[str] = (await answer.json())[name]
        return made
