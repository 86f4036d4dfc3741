"""What travels on `salesforce.writes` and `salesforce.results`.

A `Write` is one Salesforce record as it should now be; a `Result` is what became of one `Write`.
Every write that is read gets exactly one result, so the counts of the two topics can be compared.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import msgspec

Scalar = str | int | float | bool | None

# The header of an event or a write that was there before: it is sent though Salesforce has confirmed it, and
# nobody is told of it again.
REPLAY = ("replay", b"1")
# The values of the label `phase` of metrics.
LIVE, REPLAYED = "live", "replay"

Outcome = Literal["created", "updated", "unchanged", "superseded", "dead-lettered"]


def phase(*, replay: bool) -> str:
    """The label of what is, or is not, of a replay."""
    return REPLAYED if replay else LIVE


class EventRef(msgspec.Struct, frozen=True, gc=False):
    """The Stripe event that a record comes from. Times: `created` in epoch seconds (Stripe's clock),
    `received_at` in epoch milliseconds (the gateway's clock)."""

    id: str
    type: str
    created: int
    received_at: int


class Reference(msgspec.Struct, frozen=True, gc=False):
    """A parent record, named by its external ID instead of its Salesforce ID.

    Salesforce: "Relationship Fields in Records" (JSON) and "Relationship Fields in a Header Row" (CSV).
    """

    object: str
    field: str
    external_id: str


class Match(msgspec.Struct, frozen=True):
    """What an existing, not yet linked record can be recognised by. Only on records not yet confirmed.

    `email` is the billing e-mail, lower-cased; `company` the company's name; `domain` the e-mail's domain
    when it may stand for a company, so None for free-mail domains.
    """

    email: str | None = None
    company: str | None = None
    domain: str | None = None


class Owner(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who gets a record when it is created: the owner of its parent (`parent` is a key of `Write.parents`), and
    when that user is inactive, the user with the Salesforce ID `fallback`. Whoever owns it later keeps it."""

    parent: str
    fallback: str | None = None


class Closing(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is to become of the Account's open Opportunities that people made: those of `types` (and of `stages`, if
    any are named) that were there before `before` (epoch seconds) get `fields`."""

    types: tuple[str, ...]
    before: int
    fields: dict[str, Scalar]
    stages: tuple[str, ...] = ()


class Write(msgspec.Struct, frozen=True, omit_defaults=True, dict=True):
    """One record that Salesforce should hold: all its mapped fields, not a difference.

    `account` is the routing key of the customer it belongs to: rows of one customer lock one Salesforce
    Account, so rows are sorted by it. `version` is the newest Stripe `created` (epoch seconds) folded in.
    `events` are the events that asked for it, oldest first. None in `fields` clears the field. `if_empty` names
    fields and parents that are only set where Salesforce has nothing: a person may own them from then on.
    """

    object: str
    external_id_field: str
    external_id: str
    account: str
    version: int
    fields: dict[str, Scalar]
    events: tuple[EventRef, ...]
    parents: dict[str, Reference] = {}
    match: Match | None = None
    owner: Owner | None = None
    if_empty: tuple[str, ...] = ()
    closing: Closing | None = None

    @cached_property  # the writer asks for it some thirty times
    def key(self) -> str:
        """The Kafka key: one record in Salesforce."""
        return f"{self.object}:{self.external_id}"


class RowError(msgspec.Struct, frozen=True):
    """Salesforce's own words for why a row was refused: status code, message, fields."""

    code: str
    message: str
    fields: tuple[str, ...] = ()


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one write. `at` is epoch milliseconds on the writer's clock.

    `matched_by` says how an existing record was found before it was first written:
    `email` or `company`; None when it was found by its external ID or created.
    """

    object: str
    external_id: str
    account: str
    version: int
    outcome: Outcome
    events: tuple[EventRef, ...]
    at: int
    salesforce_id: str | None = None
    matched_by: str | None = None
    error: RowError | None = None

    @property
    def key(self) -> str:
        """The Kafka key: the same as the write's."""
        return f"{self.object}:{self.external_id}"


class Notice(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that people are to be told, once. `id` comes from Stripe's IDs alone, so that what is told by two
    events, or by one event twice, is one notice.

    `account` is the routing key of the customer it is about, `facts` what a template may say. `amount` is a
    decimal text in `currency` (three upper-case letters), for routes that ask for a least amount.
    """

    id: str
    workflow: str
    account: str
    event: EventRef
    facts: dict[str, Scalar]
    amount: str | None = None
    currency: str | None = None
    segment: str | None = None


encode = msgspec.json.Encoder().encode
decode_write = msgspec.json.Decoder(Write).decode
decode_result = msgspec.json.Decoder(Result).decode
decode_notice = msgspec.json.Decoder(Notice).decode
