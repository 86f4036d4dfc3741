"""What the mapping in `revstream.toml` can name, by object, and the fields that it makes of it.

An Account is one record made of all that is remembered of a customer, so it has the sources of every workflow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agents import (
    activities,
    churn,
    disputes,
    failed_payments,
    fields,
    opportunities,
    payments,
    subscriptions,
)
from agents.pricing import Unpriceable
from agents.touched import Touched
from stream.records import Scalar
from stream.settings import SettingError

# Beside the customer's own fields.
ACCOUNT: dict[str, Callable[[Touched], Scalar]] = {
    **subscriptions.SOURCES,
    **payments.SOURCES,
    **failed_payments.SOURCES,
    **churn.SOURCES,
}

SOURCES: dict[str, tuple[str, ...]] = {
    "Account": (*fields.SOURCES, *ACCOUNT),
    "Contact": tuple(fields.SOURCES),
    "Opportunity": tuple(opportunities.SOURCES),
    disputes.CASE: tuple(disputes.SOURCES),
    **dict.fromkeys(activities.OBJECTS, tuple(activities.SOURCES)),
}
_WITH_METADATA = ("Account", "Contact")


def check(mapping: Mapping[str, Mapping[str, str]]) -> None:
    """Raises SettingError for a mapping of an object that no workflow writes, or that names no source of it."""
    for object_, wanted in mapping.items():
        if object_ not in SOURCES:
            raise SettingError(
                f"[mapping.{object_}] in revstream.toml: Revstream writes no {object_}, only "
                f"{', '.join(SOURCES)}. Remove it."
            )
        for field, source in wanted.items():
            metadata = object_ in _WITH_METADATA and source.startswith(fields.METADATA)
            if source not in SOURCES[object_] and not metadata:
                more = (f"{fields.METADATA}KEY",) if object_ in _WITH_METADATA else ()
                raise SettingError(
                    f"{field} of {object_} is mapped from `{source}`, which is none of: "
                    f"{', '.join((*SOURCES[object_], *more))}. "
                    f"Correct it under [mapping.{object_}] in revstream.toml."
                )


def account(touched: Touched) -> dict[str, Scalar]:
    """The Account's fields. Those that cannot be told are left out, so that Salesforce keeps what it has."""
    customer = touched.state.mapping.customer
    assert customer is not None  # noqa: S101  there is no Account of an unknown customer
    told: dict[str, Scalar] = {}
    for field, source in touched.settings.fields_of("Account").items():
        try:
            told[field] = (
                ACCOUNT[source](touched) if source in ACCOUNT else fields.value(customer.newest.body, source)
            )
        except Unpriceable:
            continue
    return told


def contact(touched: Touched) -> dict[str, Scalar]:
    """The Contact's fields."""
    customer = touched.state.mapping.customer
    assert customer is not None  # noqa: S101  there is no Contact of an unknown customer
    wanted = touched.settings.fields_of("Contact")
    return {field: fields.value(customer.newest.body, source) for field, source in wanted.items()}
