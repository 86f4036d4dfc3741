"""The settings of matching, of prices and of the workflows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from stream.settings.section import Section, split


class Matching(Section):
    several: Literal["newest", "create", "dead-letter"] = Field(
        default="dead-letter", description="what to do when several existing records could be the customer"
    )
    free_mail_domains: list[str] = Field(
        default=[], description="more domains that never stand for a company"
    )

    _domains = field_validator("free_mail_domains", mode="before")(split)


class Pricing(Section):
    profile: Literal["stripe", "net"] = Field(
        default="stripe", description="what counts as MRR: as Stripe reports it, or what is being charged"
    )
    hook: str | None = Field(
        default=None, description="package.module:function that may price items its own way"
    )


class Opportunities(Section):
    movements: list[Literal["new", "change", "renewal", "end"]] = Field(
        default=["new", "change", "renewal", "end"],
        description="what makes an Opportunity: a new subscription (of any customer), a change of what it brings, "
        "a renewal, its end",
    )
    renewal_intervals: list[str] = Field(
        default=["year"], description="of what is billed by these a renewal makes an Opportunity"
    )
    stages: dict[str, str] = Field(
        default={
            "open": "Negotiation/Review",
            "pending": "Proposal/Price Quote",
            "won": "Closed Won",
            "lost": "Closed Lost",
        },
        description="what open (in trial), pending (not paid yet), won and lost are called in the org",
    )
    types: dict[str, str] = Field(
        default={
            "new": "New Customer",
            "additional": "Existing Customer - Upgrade",
            "reactivation": "New Customer",
            "expansion": "Existing Customer - Upgrade",
            "contraction": "Existing Customer - Downgrade",
            "churn": "Existing Customer - Downgrade",
            "renewal": "Existing Customer - Replacement",
        },
        description="the Opportunity's Type, by movement",
    )
    amount: Literal["arr", "mrr"] = Field(
        default="arr", description="what Amount is: of a year or of a month"
    )
    record_type: str | None = Field(default=None, description="ID of the record type of our Opportunities")
    pricebook: str | None = Field(
        default=None,
        pattern=r"^01s[0-9A-Za-z]{12}([0-9A-Za-z]{3})?$",
        description="ID of the standard price book: with it, items become the Opportunities' products",
    )
    large_expansion: int = Field(
        default=10_000,
        ge=0,
        description="the owner is told of an expansion from so much ARR, in its currency",
    )

    _lists = field_validator("movements", "renewal_intervals", mode="before")(split)

    @field_validator("stages", "types")
    @classmethod
    def _complete(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        # Who renames one stage need not name the others.
        default: dict[str, str] = cls.model_fields[info.field_name or ""].default
        if unknown := value.keys() - default.keys():
            raise ValueError(f"{', '.join(sorted(unknown))} is none of {', '.join(default)}")
        return {**default, **value}


class Activities(Section):
    of: list[str] = Field(
        default=["invoices", "charges"],
        description="what becomes a completed Task: invoices, charges, both or, empty, neither",
    )
    open_status: str = Field(default="Not Started", description="of a Task that is to be done, in the org")
    closed_status: str = Field(default="Completed", description="of a Task that is done")

    _lists = field_validator("of", mode="before")(split)

    @field_validator("of")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        if unknown := set(value) - {"invoices", "charges"}:
            raise ValueError(f"{', '.join(sorted(unknown))} is neither invoices nor charges")
        return value


class FailedPayments(Section):
    task: bool = Field(default=True, description="whether the Account's owner gets a Task for each invoice")
    due_days: int = Field(default=1, ge=0, description="the Task is due so many days after the failure")
    fallback_owner: str | None = Field(
        default=None,
        pattern=r"^005[0-9A-Za-z]{12}([0-9A-Za-z]{3})?$",
        description="ID of the user who gets the Tasks of Accounts whose owner is inactive",
    )


class Disputes(Section):
    statuses: dict[str, str] = Field(
        default={"open": "New", "answered": "Working", "closed": "Closed"},
        description="what a Case's Status is called in the org while open, answered, and closed",
    )
    origin: str | None = Field(default=None, description="the Case's Origin")
    fraud_warnings: bool = Field(default=True, description="whether early fraud warnings open a Case, too")

    @field_validator("statuses")
    @classmethod
    def _complete(cls, value: dict[str, str]) -> dict[str, str]:
        default: dict[str, str] = cls.model_fields["statuses"].default
        if unknown := value.keys() - default.keys():
            raise ValueError(f"{', '.join(sorted(unknown))} is none of {', '.join(default)}")
        return {**default, **value}


class Churn(Section):
    close_types: list[str] = Field(
        default=[
            "Existing Customer - Upgrade",
            "Existing Customer - Replacement",
            "Existing Customer - Downgrade",
        ],
        description="open Opportunities of these types are closed as lost when the customer leaves",
    )
    close_stages: list[str] = Field(default=[], description="only those in these stages; in any, if empty")
    lost_stage: str = Field(default="Closed Lost", description="the stage that they are put into")
    reason_field: str | None = Field(
        default="Stripe_Loss_Reason__c", description="the field of an Opportunity that gets the reason"
    )
    campaign: str | None = Field(
        default=None,
        pattern=r"^701[0-9A-Za-z]{12}([0-9A-Za-z]{3})?$",
        description="ID of the win-back Campaign that the billing Contact joins; none joins without it",
    )

    _lists = field_validator("close_types", "close_stages", mode="before")(split)
