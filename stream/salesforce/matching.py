"""Finding the record that stood for a customer before us. Pure.

An Account is recognised by its Stripe customer ID, else by a Contact of the customer's e-mail address, else by
its name together with its website's host being the e-mail's domain. A Contact is recognised by e-mail. What
carries another customer's ID is never taken. Who is recognised gets the customer's ID as external ID and
nothing else; the upsert that follows then finds it. So a crash in between does no harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from stream.records import Write
from stream.salesforce import soql
from stream.settings import CUSTOMER_ID_FIELD

ACCOUNT, CONTACT = "Account", "Contact"

Several = Literal["newest", "create", "dead-letter"]
By = Literal["email", "company"]


class Adopt(msgspec.Struct, frozen=True):
    """An existing record is the customer: `id` gets the external ID first."""

    id: str
    by: By


class Ambiguous(msgspec.Struct, frozen=True):
    """Several records could be the customer, and the settings say not to choose."""

    ids: tuple[str, ...]
    by: By


class Linked(msgspec.Struct, frozen=True):
    """The record carries the customer's external ID: the upsert finds it."""

    id: str


class New(msgspec.Struct, frozen=True):
    """No record is the customer: the upsert makes one."""


Decision = Linked | Adopt | Ambiguous | New


class Person(msgspec.Struct, frozen=True):
    """A Contact that was found by e-mail. `owner` is the external ID of its Account."""

    id: str
    email: str
    created: str
    customer: str | None
    account: str | None
    owner: str | None
    account_created: str


class Company(msgspec.Struct, frozen=True):
    """An Account without an external ID, found by name."""

    id: str
    name: str
    host: str | None
    created: str


class Found(msgspec.Struct):
    """What the queries gave. `linked`: (object, external ID) → Salesforce ID."""

    linked: dict[tuple[str, str], str] = {}
    people: list[Person] = []
    companies: list[Company] = []


class Query(msgspec.Struct, frozen=True):
    """One SOQL query, and what its records mean: `linked`, `people` or `companies`."""

    soql: str
    asks: Literal["linked", "people", "companies"]
    object: str


def needs_lookup(write: Write) -> bool:
    """Whether a write has anything that an existing record could be recognised by."""
    match = write.match
    if match is None or write.object not in (ACCOUNT, CONTACT):
        return False
    return bool(match.email or (write.object == ACCOUNT and match.company and match.domain))


def queries(writes: Sequence[Write]) -> list[Query]:
    """All that is to be asked for these writes."""
    asked = []
    for object_ in (ACCOUNT, CONTACT):
        ids = [write.external_id for write in writes if write.object == object_]
        head = f"SELECT Id, {CUSTOMER_ID_FIELD} FROM {object_}"  # noqa: S608  no value of anyone's in it
        asked += [Query(q, "linked", object_) for q in soql.selects(head, CUSTOMER_ID_FIELD, ids)]
    emails = [write.match.email for write in writes if write.match and write.match.email]
    person = f"Id, Email, CreatedDate, {CUSTOMER_ID_FIELD}, AccountId"
    head = f"SELECT {person}, Account.{CUSTOMER_ID_FIELD}, Account.CreatedDate FROM Contact"  # noqa: S608
    asked += [Query(q, "people", CONTACT) for q in soql.selects(head, "Email", emails)]
    names = [
        write.match.company
        for write in writes
        if write.object == ACCOUNT and write.match and write.match.company and write.match.domain
    ]
    head = "SELECT Id, Name, Website, CreatedDate FROM Account"
    free = f"AND {CUSTOMER_ID_FIELD} = null"
    asked += [Query(q, "companies", ACCOUNT) for q in soql.selects(head, "Name", names, free)]
    return asked


def note(found: Found, query: Query, records: Iterable[dict[str, Any]]) -> None:
    """Adds the records that a query gave."""
    for record in records:
        if query.asks == "linked":
            found.linked[query.object, record[CUSTOMER_ID_FIELD]] = record["Id"]
        elif query.asks == "people":
            found.people.append(_person(record))
        else:
            company = Company(
                record["Id"], _folded(record["Name"]), host(record["Website"]), record["CreatedDate"]
            )
            found.companies.append(company)


def _person(record: dict[str, Any]) -> Person:
    account = record.get("Account") or {}
    return Person(
        id=record["Id"],
        email=_folded(record["Email"]),
        created=record["CreatedDate"],
        customer=record.get(CUSTOMER_ID_FIELD),
        account=record.get("AccountId"),
        owner=account.get(CUSTOMER_ID_FIELD),
        account_created=account.get("CreatedDate") or "",
    )


def _folded(text: str | None) -> str:
    return (text or "").strip().casefold()  # Salesforce compares without case


def host(website: str | None) -> str | None:
    """The host of a website as people type it, without `www.`; None when there is none."""
    text = (website or "").strip()
    try:
        name = urlsplit(text if "//" in text else f"//{text}").hostname
    except ValueError:  # an unfinished IPv6 address
        return None
    return (name or "").rstrip(".").removeprefix("www.") or None


def decide(writes: Sequence[Write], found: Found, several: Several) -> dict[str, Decision]:
    """What is to be done before each write, by its key. Of two customers who fit one record, the first in order
    gets it."""
    decisions: dict[str, Decision] = {}
    taken: set[str] = set()
    for object_, candidates in ((ACCOUNT, _accounts), (CONTACT, _contacts)):
        for write in writes:
            if write.object != object_:
                continue
            if linked := found.linked.get((object_, write.external_id)):
                decisions[write.key] = Linked(linked)
                continue
            fitting, by = candidates(write, found, decisions, taken)
            decision = _one(fitting, by, several)
            if isinstance(decision, Adopt):
                taken.add(decision.id)
            decisions[write.key] = decision
    return decisions


# Candidates by when they were made: ID → CreatedDate.
_Candidates = tuple[dict[str, str], By]


def _accounts(write: Write, found: Found, _: dict[str, Decision], taken: set[str]) -> _Candidates:
    match = write.match
    assert match is not None  # noqa: S101  only writes that need a lookup come here
    by_person = {
        person.account: person.account_created
        for person in found.people
        if match.email
        and person.email == _folded(match.email)
        and person.account is not None
        and person.owner is None
        and person.customer in (None, write.external_id)
        and person.account not in taken
    }
    if by_person:
        return by_person, "email"
    by_name = {
        company.id: company.created
        for company in found.companies
        if match.company
        and match.domain
        and company.name == _folded(match.company)
        and company.host == match.domain.lower()
        and company.id not in taken
    }
    return by_name, "company"


def _contacts(write: Write, found: Found, decisions: dict[str, Decision], taken: set[str]) -> _Candidates:
    match = write.match
    assert match is not None  # noqa: S101
    parent = write.parents.get(ACCOUNT)
    customer = parent.external_id if parent else write.external_id
    chosen = decisions.get(f"{ACCOUNT}:{customer}")
    account = chosen.id if isinstance(chosen, Adopt) else found.linked.get((ACCOUNT, customer))
    free = [
        person
        for person in found.people
        if person.email == _folded(match.email)
        and person.customer is None
        and person.id not in taken
        # A person of another customer's Account stays there.
        and person.owner in (None, customer)
        and (person.account == account or person.account not in taken)
    ]
    ours = [
        person
        for person in free
        if person.owner == customer or (person.account and person.account == account)
    ]
    return {person.id: person.created for person in ours or free}, "email"


def _one(candidates: dict[str, str], by: By, several: Several) -> Decision:
    """The candidate, if it is to be taken. `newest` is the one created last: unlike the time of the last change,
    that does not move while we look."""
    if not candidates or (len(candidates) > 1 and several == "create"):
        return New()
    if len(candidates) > 1 and several == "dead-letter":
        return Ambiguous(tuple(sorted(candidates)), by)
    return Adopt(max(candidates, key=lambda id_: (candidates[id_], id_)), by)
