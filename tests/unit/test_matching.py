"""Recognising the record that stood for a customer before us."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from stream.records import Match, Write
from stream.salesforce import soql
from stream.salesforce.matching import (
    Adopt,
    Ambiguous,
    Company,
    Decision,
    Found,
    Linked,
    New,
    Person,
    Several,
    decide,
    host,
    needs_lookup,
    queries,
)
from tests.fakes.writes import account, contact

MATCH = Match("ada@engines.example", "Engines Ltd", "engines.example")


def person(
    id_: str,
    account_: str | None = "001A",
    *,
    customer: str | None = None,
    owner: str | None = None,
    created: str = "2026-01-01",
    email: str = "ada@engines.example",
) -> Person:
    return Person(id_, email, created, customer, account_, owner, created)


def company(id_: str, host_: str | None = "engines.example", created: str = "2026-01-01") -> Company:
    return Company(id_, "engines ltd", host_, created)


def found(*people_and_companies: Person | Company, **linked: str) -> Found:
    return Found(
        linked={("Account", customer): id_ for customer, id_ in linked.items()},
        people=[each for each in people_and_companies if isinstance(each, Person)],
        companies=[each for each in people_and_companies if isinstance(each, Company)],
    )


def decided(what: Found, several: Several = "dead-letter", *customers: str) -> list[Decision]:
    writes: list[Write] = []
    for customer in customers or ("cus_1",):
        writes += [account(customer, match=MATCH), contact(customer, match=Match(MATCH.email))]
    decisions = decide(writes, what, several)
    return [decisions[write.key] for write in writes]


def test_linked_goes_before_everything() -> None:
    assert decided(found(person("003A"), cus_1="001Z"))[0] == Linked("001Z")


def test_nothing_known_is_new() -> None:
    assert decided(found()) == [New(), New()]


def test_by_email_goes_before_by_company() -> None:
    assert decided(found(person("003A"), company("001B"))) == [Adopt("001A", "email"), Adopt("003A", "email")]


def test_by_company_needs_the_website_too() -> None:
    assert decided(found(company("001B")))[0] == Adopt("001B", "company")
    assert decided(found(company("001B", None)))[0] == New()
    assert decided(found(company("001B", "other.example")))[0] == New()


def test_without_a_domain_no_company() -> None:
    write = account("cus_1", match=Match("ada@mail.example", "Engines Ltd", None))
    assert decide([write], found(company("001B")), "newest") == {write.key: New()}


def test_what_is_another_customers_is_never_taken() -> None:
    assert decided(found(person("003A", owner="cus_2"))) == [New(), New()]
    assert decided(found(person("003A", customer="cus_2"))) == [New(), New()]


def test_a_contact_of_ours_points_to_its_account() -> None:
    assert decided(found(person("003A", customer="cus_1")))[0] == Adopt("001A", "email")


def test_two_customers_who_fit_one_record_do_not_share_it() -> None:
    assert decided(found(person("003A")), "dead-letter", "cus_1", "cus_2") == [
        Adopt("001A", "email"),
        Adopt("003A", "email"),
        New(),
        New(),
    ]


def test_several_follow_the_setting() -> None:
    two = found(person("003A", "001A"), person("003B", "001B", created="2026-02-01"))
    assert decided(two, "dead-letter")[0] == Ambiguous(("001A", "001B"), "email")
    assert decided(two, "create") == [New(), New()]
    assert decided(two, "newest") == [Adopt("001B", "email"), Adopt("003B", "email")]


def test_two_contacts_of_one_account_are_one_account() -> None:
    two = found(person("003A", "001A"), person("003B", "001A"))
    assert decided(two) == [Adopt("001A", "email"), Ambiguous(("003A", "003B"), "email")]


def test_a_contact_under_the_matched_account_is_preferred() -> None:
    two = found(person("003A", "001Z"), person("003B", "001B", owner="cus_1"), cus_1="001B")
    assert decided(two) == [Linked("001B"), Adopt("003B", "email")]
    stranger = found(person("003A", None), cus_1="001B")
    assert decided(stranger)[1] == Adopt("003A", "email")


def test_email_and_name_are_compared_without_case() -> None:
    write = account("cus_1", match=Match("ADA@Engines.Example", "ENGINES LTD", "Engines.Example"))
    assert decide([write], found(person("003A")), "create")[write.key] == Adopt("001A", "email")
    assert decide([write], found(company("001B")), "create")[write.key] == Adopt("001B", "company")


@pytest.mark.parametrize(
    ("website", "name"),
    [
        ("https://www.Engines.example/about?x=1", "engines.example"),
        ("engines.example", "engines.example"),
        ("www.engines.example:8080", "engines.example"),
        ("//engines.example.", "engines.example"),
        ("http://[::1", None),
        ("  ", None),
        (None, None),
    ],
)
def test_the_host_of_a_website(website: str | None, name: str | None) -> None:
    assert host(website) == name


def test_only_what_can_be_recognised_is_looked_up() -> None:
    assert needs_lookup(account("cus_1", match=MATCH))
    assert needs_lookup(contact("cus_1", match=Match("a@b.example")))
    assert not needs_lookup(account("cus_1"))
    assert not needs_lookup(account("cus_1", match=Match(None, "Engines Ltd", None)))
    assert not needs_lookup(contact("cus_1", match=Match(None, "Engines Ltd", "engines.example")))


def test_ten_thousand_customers_take_few_queries_of_bounded_length() -> None:
    writes: list[Write] = []
    for n in range(10_000):
        customer, email = f"cus_N{n:013d}", f"first.last{n:05d}@engines{n:05d}.example"
        match = Match(email, f"Engines and Partners {n:05d} Ltd", f"engines{n:05d}.example")
        writes += [account(customer, match=match), contact(customer, match=Match(email))]
    asked = queries(writes)
    assert all(len(soql.encoded(query.soql)) <= soql.MAX_ENCODED for query in asked)
    assert len(asked) <= 160  # five to a call: 32 calls, 3.2 per 1,000 customers
    text = "".join(query.soql for query in asked)
    assert all(text.count(f"'{write.external_id}'") == 2 for write in writes[::2])


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("O'Neil", r"'O\'Neil'"),
        ("a\\b", r"'a\\b'"),
        ("a\nb\tc", r"'a\nb\tc'"),
        ("' OR Name != '", r"'\' OR Name != \''"),
    ],
)
def test_values_are_quoted(value: str, quoted: str) -> None:
    assert soql.literal(value) == quoted
    assert unquote(soql.encoded(quoted)) == quoted


def test_a_value_longer_than_an_address_still_gets_its_query() -> None:
    (query,) = soql.selects("SELECT Id FROM Account", "Name", ["x" * 20_000])
    assert query.endswith("IN ('" + "x" * 20_000 + "')")
    assert soql.selects("SELECT Id FROM Account", "Name", []) == []
