"""Who the customers are, before any of them signs up."""

from __future__ import annotations

import random
import unicodedata
from typing import Literal

import msgspec

from stream.sandbox.stripe.objects import Address, key_of
from stream.sandbox.stripe.words import COUNTRIES, FREE_MAIL, OFFICES, QUALITIES, SHARES, TRADES, Country

Kind = Literal["company", "colleague", "private", "nameless", "guest"]
Known = Literal["email", "company", "ambiguous-email", "ambiguous-company"]

_KINDS: tuple[Kind, ...] = ("company", "colleague", "private", "nameless", "guest")
_KIND_SHARES = (46, 16, 26, 7, 5)


class Identity(msgspec.Struct, frozen=True):
    """One customer to be. `known` says how Salesforce knows them already; then what they are recognised by
    stays as it is through their whole life, so that the order of events cannot decide who is found.

    `domain` is the company's own; a private person has none.
    """

    index: int
    id: str
    account: str | None
    kind: Kind
    country: Country
    first: str
    last: str
    company: str
    domain: str | None
    name: str | None
    business_name: str | None
    email: str | None
    phone: str | None
    address: Address | None
    known: Known | None = None

    @property
    def key(self) -> str:
        """The routing key of the customer."""
        return key_of(self.account, self.id)

    @property
    def keeps_email(self) -> bool:
        """Whether the e-mail address is what Salesforce knows them by."""
        return self.known in ("email", "ambiguous-email")

    @property
    def keeps_name(self) -> bool:
        """Whether name and e-mail domain are what Salesforce knows them by."""
        return self.known in ("company", "ambiguous-company")


class Mixture(msgspec.Struct, frozen=True):
    """Shares of all customers, 0 to 1: those whom Salesforce knows already, those whom several of its records
    could stand for, those of connected accounts."""

    known: float = 0.25
    ambiguous: float = 0.02
    connected: float = 0.0


def make(rng: random.Random, count: int, mixture: Mixture) -> tuple[Identity, ...]:
    """So many customers; the first ones are the same whatever the count."""
    made: list[Identity] = []
    taken: set[str] = set()
    for index in range(count):
        account = f"acct_1Revstream{rng.randint(1, 2)}" if rng.random() < mixture.connected else None
        identity = _one(rng, index, account, taken)
        roll = rng.random()
        if roll < 0.06 and (shareable := [other for other in made if other.email and other.known is None]):
            identity = msgspec.structs.replace(identity, email=rng.choice(shareable).email)
        else:
            identity = msgspec.structs.replace(identity, known=_known(rng, identity, mixture))
        if account and not any(other.account for other in made):
            # IDs are unique within one account only: let the first of a connected account share one.
            own = next((other for other in made if other.account is None), identity)
            identity = msgspec.structs.replace(identity, id=own.id)
        made.append(identity)
    return tuple(made)


def _one(rng: random.Random, index: int, account: str | None, taken: set[str]) -> Identity:
    country = rng.choices(COUNTRIES, SHARES)[0]
    kind = rng.choices(_KINDS, _KIND_SHARES)[0]
    first, last = rng.choice(country.first), rng.choice(country.last)
    core = f"{rng.choice(QUALITIES)} {rng.choice(TRADES)}"
    company = f"{core} {rng.choice(country.legal)}"
    domain = _domain(core, index, taken) if kind in ("company", "colleague") else None
    person = f"{first} {last}"
    name: str | None = company if kind == "company" else person
    business_name = None
    if kind == "company" and rng.random() < 0.25:
        name, business_name = person, company
    if kind in ("nameless", "guest"):
        name = None
    email = None if kind == "guest" else _email(rng, index, kind, first, last, domain)
    return Identity(
        index=index,
        id="cus_" + "".join(rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789", k=14)),
        account=account,
        kind=kind,
        country=country,
        first=first,
        last=last,
        company=company,
        domain=domain,
        name=_as_typed(rng, name),
        business_name=business_name,
        email=email,
        phone=phone(rng, country) if kind != "guest" and rng.random() < 0.7 else None,
        address=address(rng, country) if kind != "guest" and rng.random() < 0.75 else None,
    )


def _known(rng: random.Random, identity: Identity, mixture: Mixture) -> Known | None:
    roll = rng.random()
    if identity.email is None:
        return None
    if roll < mixture.ambiguous:
        return "ambiguous-company" if identity.kind == "company" and rng.random() < 0.5 else "ambiguous-email"
    if roll < mixture.ambiguous + mixture.known:
        return "company" if identity.kind == "company" and rng.random() < 0.6 else "email"
    return None


def _as_typed(rng: random.Random, name: str | None) -> str | None:
    """Names as forms let them through: with blanks too many, and now and then far too long."""
    roll = rng.random()
    if name is None or roll > 0.04:
        return name
    if roll < 0.015:
        return f"  {name} "
    if roll < 0.03:
        return name.replace(" ", "  ", 1)
    return f"{name} {'von und zu Hohenstein-' * 9}Ende"


def _domain(core: str, index: int, taken: set[str]) -> str:
    """A domain that no other customer has."""
    slug = core.lower().replace(" ", "-")
    domain = f"{slug}.example" if slug not in taken else f"{slug}-{index}.example"
    taken.add(slug)
    return domain


def _email(rng: random.Random, index: int, kind: Kind, first: str, last: str, domain: str | None) -> str:
    local = f"{_ascii(first) or 'mail'}_{_ascii(last) or 'box'}_{index}"
    if domain is None:
        return f"{local}@{rng.choice(FREE_MAIL)}"
    if kind == "company":
        local = rng.choice(OFFICES)
    text = f"{local}@{domain}"
    return text.title() if rng.random() < 0.1 else text


def new_email(rng: random.Random, identity: Identity, number: int) -> str:
    """The address that a customer changes to: of the same company, or another private one."""
    if identity.domain:
        return f"{rng.choice(OFFICES)}.{number}@{identity.domain}"
    return f"{identity.kind}_{identity.index}_{number}@{rng.choice(FREE_MAIL)}"


def new_name(rng: random.Random, identity: Identity, number: int) -> str:
    """The name that a customer changes to."""
    if identity.kind == "company" and identity.business_name is None:
        return f"{identity.company.rsplit(' ', 1)[0]} {rng.choice(('Group', 'Holding', 'Europe'))} {number}"
    first = rng.choice(identity.country.first)
    return f"{first} {rng.choice(identity.country.last)}-{rng.choice(identity.country.last)}"


def phone(rng: random.Random, country: Country) -> str:
    """A number from the range that is kept for fiction."""
    return "".join(str(rng.randint(0, 9)) if sign == "#" else sign for sign in country.phone)


def address(rng: random.Random, country: Country) -> Address:
    """An address; some have no state, some a second line, a few are far too long."""
    city, state, postal_code = rng.choice(country.towns)
    street, number = rng.choice(country.streets), rng.randint(1, 240)
    line1 = f"{number} {street}" if country.code in ("US", "GB", "FR") else f"{street} {number}"
    if rng.random() < 0.02:
        line1 += ", c/o " + "Hinterhaus, Aufgang Süd, " * 12
        city += " an der sehr langen Straße hinter dem Walde"
    return Address(
        line1=line1,
        line2=rng.choice(("Suite 400", "2. OG", "Flat 3", "c/o Accounts")) if rng.random() < 0.3 else None,
        city=city,
        state=state,
        postal_code=postal_code,
        country=country.code,
    )


def _ascii(text: str) -> str:
    """Letters and digits that an e-mail address may have in its local part."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return "".join(sign for sign in plain.lower() if sign.isalnum())
