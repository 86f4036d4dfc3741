"""The customers workflow: what one customer makes of Salesforce."""

from __future__ import annotations

from typing import Any

import pytest

from agents import mapping
from agents.customers import company_domain, project
from agents.events import State
from stream.records import Write
from stream.settings import Matching, SettingError, Settings
from stream.stripe.shapes import Address, Customer
from tables.customer_mapping import CustomerMapping, Link
from tables.versions import Rank, Telling, Versioned
from tests.touched import touched

SETTINGS = Settings()


def projected(customer: Customer, settings: Settings = SETTINGS, **linked: Any) -> tuple[Write, ...]:
    told = Versioned(100, (Telling("evt_1", Rank.CREATED, customer),))
    state = State(CustomerMapping(customer=told, **linked))
    return tuple(project(touched(state, customer.id, settings=settings)))


def test_a_guest_without_a_name_gets_both_records() -> None:
    account, contact = projected(Customer("cus_1"))
    assert account.fields["Name"] == "cus_1"
    assert (contact.fields["FirstName"], contact.fields["LastName"]) == (None, "cus_1")
    assert contact.match is None
    assert account.match is not None
    assert (account.match.email, account.match.domain) == (None, None)


def test_a_nameless_customer_is_called_by_the_local_part() -> None:
    account, contact = projected(Customer("cus_1", email="jo.doe@acme.test"))
    assert account.fields["Name"] == contact.fields["LastName"] == "jo.doe"


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("Ada Lovelace", "Ada", "Lovelace"),
        ("  Ada  King Lovelace ", "Ada  King", "Lovelace"),
        ("Cher", None, "Cher"),
        ("x" * 300, None, "x" * 80),
        ("李 小龍", "李", "小龍"),
        (" \u00a0 ", None, "cus_1"),
    ],
)
def test_names_are_split_at_the_last_space(name: str, first: str | None, last: str) -> None:
    _, contact = projected(Customer("cus_1", name=name))
    assert (contact.fields["FirstName"], contact.fields["LastName"]) == (first, last)


def test_a_business_name_names_the_account_and_not_the_contact() -> None:
    account, contact = projected(Customer("cus_1", name="Ada Lovelace", business_name="Engines Ltd"))
    assert account.fields["Name"] == "Engines Ltd"
    assert contact.fields["LastName"] == "Lovelace"


def test_addresses_are_joined_and_cut_to_what_salesforce_takes() -> None:
    address = Address(line1="1 Mill Lane", line2=" ", city="c" * 99, country="GB")
    account, contact = projected(Customer("cus_1", address=address))
    assert (account.fields["BillingStreet"], account.fields["BillingCity"]) == ("1 Mill Lane", "c" * 40)
    assert contact.fields["MailingCountry"] == "GB"


def test_a_deleted_customer_is_flagged() -> None:
    account, contact = projected(Customer("cus_1", deleted=True, currency="eur", delinquent=None))
    for write in (account, contact):
        assert write.fields["Stripe_Deleted__c"] is True
        assert write.fields["Stripe_Currency__c"] == "EUR"
        assert write.fields["Stripe_Delinquent__c"] is False


def test_what_salesforce_confirmed_is_not_matched_again() -> None:
    account, contact = projected(
        Customer("cus_1", email="a@b.test"), account=Link("001", 1), contact=Link("003", 1)
    )
    assert account.match is None
    assert contact.match is None


def test_a_customer_known_only_from_other_objects_makes_nothing() -> None:
    assert list(project(touched(State()))) == []


@pytest.mark.parametrize(
    ("email", "domain"),
    [
        ("a@acme.test", "acme.test"),
        ("a@gmail.com", None),
        ("a@mail.acme.test", None),
        ("nonsense", None),
        (None, None),
    ],
)
def test_free_mail_stands_for_no_company(email: str | None, domain: str | None) -> None:
    settings = Settings(matching=Matching(free_mail_domains=["mail.acme.test"]))
    assert company_domain(email, settings) == domain


def test_a_mapping_may_name_metadata_and_nothing_unknown() -> None:
    settings = Settings(mapping={"Account": {"Tier__c": "metadata.tier"}})
    account, contact = projected(Customer("cus_1", metadata={"tier": "gold"}), settings)
    assert account.fields == {"Tier__c": "gold"}
    assert contact.fields == {}
    with pytest.raises(
        SettingError, match=r"Tier__c of Account is mapped from `tear`, which is none of: id, "
    ):
        mapping.check({"Account": {"Tier__c": "tear"}})
