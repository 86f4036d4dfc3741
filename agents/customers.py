"""Customers become Accounts and Contacts.

A customer is one Account and one Contact, both known by the Stripe customer ID. As long as Salesforce has not
confirmed them, they carry what an existing record can be recognised by: the Contact's e-mail, then the
company's name with the e-mail's domain against the Account's website. A free-mail domain stands for no
company. A deleted customer is flagged, not deleted. A guest or nameless customer still gets both.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from agents import churn, fields, mapping
from agents.events import CUSTOMER
from agents.touched import Touched
from stream.records import Match, Reference, Write
from stream.settings import CUSTOMER_ID_FIELD, Settings
from stream.stripe.shapes import Customer

# Mailbox providers of private people: their domains stand for no company.
FREE_MAIL = frozenset(Path(__file__).with_name("free_mail.txt").read_text().split())


def project(touched: Touched) -> Iterable[Write]:
    """The Account and the Contact as they should now be; none for a customer not yet told of."""
    known = touched.state.mapping
    if known.customer is None:
        return
    customer = known.customer.newest.body
    email = _email(customer)
    settings = touched.settings
    yield Write(
        object="Account",
        external_id_field=CUSTOMER_ID_FIELD,
        external_id=touched.key,
        account=touched.key,
        version=touched.state.version,
        fields=mapping.account(touched),
        events=touched.refs,
        match=Match(email, fields.account_name(customer), company_domain(email, settings))
        if known.account is None
        else None,
        closing=churn.closing(touched),
    )
    # All that a Contact says is the customer's; what else happens does not change it.
    if touched.events and known.contact is not None and not touched.about(CUSTOMER):
        return
    yield Write(
        object="Contact",
        external_id_field=CUSTOMER_ID_FIELD,
        external_id=touched.key,
        account=touched.key,
        version=known.customer.created,
        fields=mapping.contact(touched),
        events=touched.refs,
        parents={"Account": Reference("Account", CUSTOMER_ID_FIELD, touched.key)},
        match=Match(email=email) if known.contact is None and email else None,
    )


def _email(customer: Customer) -> str | None:
    return (customer.email or "").strip().lower() or None


def company_domain(email: str | None, settings: Settings) -> str | None:
    """The domain of an e-mail address when it may stand for a company."""
    _, at, domain = (email or "").rpartition("@")
    private = FREE_MAIL.union(settings.matching.free_mail_domains)
    return domain if at and domain and domain not in private else None
