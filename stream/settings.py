"""Settings, from the environment and an optional `revstream.toml`.

A setting `field` of section `section` is the environment variable `SECTION_FIELD`; `SECTION_FIELD_FILE`
names a file that holds the value (for mounted secrets). The environment wins over the file.
"""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

TOML_FILE = "revstream.toml"

ChannelName = Literal["slack", "mail", "chatter", "log"]


class SettingError(Exception):
    """A setting is missing or wrong. The message is one line: which setting, and how to set it."""


class Section(BaseModel):
    """A frozen group of settings; an unknown name in it is an error, so that a typo is not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _split(value: Any) -> Any:
    """Comma-separated text as a list, as an environment variable carries it."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class Stripe(Section):
    webhook_secrets: list[SecretStr] = Field(
        default=[], description="whsec_… of every endpoint, comma-separated"
    )
    api_key: SecretStr | None = Field(default=None, description="sk_… or rk_… (read access is enough)")
    api_base: str = Field(default="https://api.stripe.com", description="Stripe's API address")
    tolerance_seconds: int = Field(default=300, gt=0, description="oldest signature accepted")

    @field_validator("webhook_secrets", mode="before")
    @classmethod
    def _secrets(cls, value: Any) -> Any:
        # A blank secret verifies anything an attacker signs with a blank key (stripe-node PR 2885).
        if isinstance(value, str) and value.strip() and any(not part.strip() for part in value.split(",")):
            raise ValueError("one of the secrets is blank")
        return _split(value)


class Kafka(Section):
    brokers: list[str] = Field(
        default=[], description="host:port, comma-separated; empty starts the embedded one"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="TLS, login, both or neither"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="PLAIN", description="how the login is made, with SASL_…"
    )
    sasl_username: str | None = Field(default=None, description="user, with SASL_…")
    sasl_password: SecretStr | None = Field(default=None, description="its password")
    ca_file: Path | None = Field(default=None, description="CA certificate, when it is not a public one")
    cert_file: Path | None = Field(
        default=None, description="client certificate, when the brokers ask for one"
    )
    key_file: Path | None = Field(default=None, description="its private key")
    partitions: int = Field(default=12, gt=0, description="of every partitioned topic; cannot grow later")
    replication_factor: int = Field(default=1, gt=0, description="3 on a real cluster")
    session_timeout_seconds: float = Field(
        default=10, ge=6, description="a dead process is noticed after this"
    )

    _brokers = field_validator("brokers", mode="before")(_split)


class Salesforce(Section):
    login_url: str = Field(default="", description="https://YOURDOMAIN.my.salesforce.com")
    client_id: str = Field(default="", description="consumer key of the External Client App")
    client_secret: SecretStr | None = Field(default=None, description="for the client-credentials login")
    jwt_key: SecretStr | None = Field(default=None, description="PEM private key, for the JWT bearer login")
    jwt_username: str | None = Field(
        default=None, description="the integration user, for the JWT bearer login"
    )
    jwt_audience: str = Field(
        default="https://login.salesforce.com",
        description="of the JWT bearer login; https://test.salesforce.com for a sandbox org",
    )
    ca_file: Path | None = Field(default=None, description="CA certificate, when it is not a public one")
    api_version: str = Field(default="65.0", pattern=r"^\d{2}\.0$", description="of Salesforce's REST API")
    timeout_seconds: float = Field(default=120, gt=0, description="of one API call")
    concurrency: int = Field(default=4, ge=1, le=20, description="Collections calls at the same time")
    budget_share: float = Field(
        default=0.95, gt=0, le=1, description="share of the org's daily calls at which we stop"
    )


class Gateway(Section):
    listen: str = Field(
        default="0.0.0.0:8080", description="the public host:port; everything else binds to loopback"
    )
    metrics_listen: str = Field(
        default="127.0.0.1:9101", description="the internal host:port; process n adds n - 1 to the port"
    )
    processes: int = Field(default=1, ge=1, le=64, description="that share the public port")
    max_body_bytes: int = Field(default=1024 * 1024, gt=0, description="of one webhook; more gets 413")
    read_timeout_seconds: float = Field(default=10, gt=0, description="for headers and body of one request")
    max_connections: int = Field(default=4096, gt=0, description="of one process; more are refused with 503")
    max_in_flight: int = Field(default=2000, gt=0, description="requests waiting for Kafka before 503")
    produce_timeout_seconds: float = Field(default=8, gt=0, description="Stripe gives up soon after")


class Projector(Section):
    metrics_listen: str = Field(default="127.0.0.1:9102", description="the internal host:port")
    table_store: Literal["memory", "rocksdb"] = Field(
        default="memory", description="where tables are held; RocksDB when they outgrow the memory"
    )
    chunk_records: int = Field(default=2000, gt=0, description="most records of one partition at once")


class Writer(Section):
    metrics_listen: str = Field(default="127.0.0.1:9103", description="the internal host:port")
    linger_seconds: float = Field(default=0.2, ge=0, description="a window waits this long for more rows")
    window_rows: int = Field(default=10_000, gt=0, description="most rows in one window")
    bulk_from_rows: int = Field(
        default=2000, gt=0, description="rows of one object from which Bulk API 2.0 is used"
    )
    attempts: int = Field(default=5, ge=1, description="tries of a row before it is a dead letter")


class Matching(Section):
    several: Literal["newest", "create", "dead-letter"] = Field(
        default="dead-letter", description="what to do when several existing records could be the customer"
    )
    free_mail_domains: list[str] = Field(
        default=[], description="more domains that never stand for a company"
    )

    _domains = field_validator("free_mail_domains", mode="before")(_split)


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

    _lists = field_validator("movements", "renewal_intervals", mode="before")(_split)

    @field_validator("stages", "types")
    @classmethod
    def _complete(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        # Who renames one stage need not name the others.
        default: dict[str, str] = cls.model_fields[info.field_name or ""].default
        if unknown := value.keys() - default.keys():
            raise ValueError(f"{', '.join(sorted(unknown))} is none of {', '.join(default)}")
        return {**default, **value}


class Route(Section):
    """Which notices go where; only in the file, as `[[notify.routes]]`. A condition left out holds for all."""

    workflows: list[str] = Field(default=[], description="of these workflows")
    segments: list[str] = Field(default=[], description="of customers in these segments")
    least_amount: Decimal | None = Field(
        default=None, ge=0, description="of so much or more, in the notice's own currency"
    )
    currency: str | None = Field(default=None, pattern=r"^[A-Z]{3}$", description="in this currency")
    channels: list[ChannelName] = Field(
        default=[], description="where to; without one, every channel that is set up"
    )
    mail_to: list[str] = Field(default=[], description="who gets the mail, in place of NOTIFY_MAIL_TO")


class Notify(Section):
    metrics_listen: str = Field(default="127.0.0.1:9104", description="the internal host:port")
    slack_webhook_url: SecretStr | None = Field(
        default=None, description="https://hooks.slack.com/services/…, an incoming webhook; sets up Slack"
    )
    smtp_host: str = Field(default="", description="the mail server; sets up mail")
    smtp_port: int = Field(default=587, gt=0, lt=65536, description="its port")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="TLS after the greeting, from the start, or not at all"
    )
    smtp_username: str | None = Field(default=None, description="user, when the server wants a login")
    smtp_password: SecretStr | None = Field(default=None, description="its password")
    smtp_ca_file: Path | None = Field(
        default=None, description="CA certificate of the mail server, when it is not a public one"
    )
    mail_from: str = Field(default="", description="the sender's address")
    mail_to: list[str] = Field(default=[], description="who gets mail, unless a route names others")
    chatter: bool = Field(
        default=False, description="post on the Account, naming its owner; needs the settings of Salesforce"
    )
    templates: Path | None = Field(
        default=None, description="folder of templates that are used in place of ours of the same name"
    )
    routes: list[Route] = Field(
        default=[], description="what goes where; without one, everything to every channel that is set up"
    )
    per_minute: int = Field(
        default=20, ge=1, description="messages on one channel; more are gathered into one"
    )
    attempts: int = Field(default=4, ge=1, description="tries of a message that a channel did not take")
    timeout_seconds: float = Field(default=10, gt=0, description="of one try")
    oldest_hours: float = Field(
        default=72, gt=0, description="what happened longer ago is not told; Stripe sends for three days"
    )
    replayed: bool = Field(default=False, description="tell of replayed events, too")

    _lists = field_validator("mail_to", mode="before")(_split)


class Activities(Section):
    of: list[str] = Field(
        default=["invoices", "charges"],
        description="what becomes a completed Task: invoices, charges, both or, empty, neither",
    )
    open_status: str = Field(default="Not Started", description="of a Task that is to be done, in the org")
    closed_status: str = Field(default="Completed", description="of a Task that is done")

    _lists = field_validator("of", mode="before")(_split)

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

    _lists = field_validator("close_types", "close_stages", mode="before")(_split)


class Process(Section):
    state_dir: Path = Field(default=Path(".revstream"), description="embedded Kafka, tables, process IDs")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="the least important lines that are logged"
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="for people, or one JSON object a line"
    )


# What Salesforce's records get, by default. Left: Salesforce field. Right: one of the object's sources, as
# `agents.mapping` lists them.
DEFAULT_MAPPING: dict[str, dict[str, str]] = {
    "Account": {
        "Name": "account_name",
        "Phone": "phone",
        "BillingStreet": "street",
        "BillingCity": "city",
        "BillingState": "state",
        "BillingPostalCode": "postal_code",
        "BillingCountry": "country",
        "Stripe_Billing_Email__c": "email",
        "Stripe_Currency__c": "currency",
        "Stripe_Delinquent__c": "delinquent",
        "Stripe_Deleted__c": "deleted",
        "Stripe_Plan__c": "plan",
        "Stripe_Tier__c": "tier",
        "Stripe_Interval__c": "interval",
        "Stripe_Seats__c": "seats",
        "Stripe_Status__c": "subscription_status",
        "Stripe_MRR__c": "mrr",
        "Stripe_ARR__c": "arr",
        "Stripe_Trial_End__c": "trial_end",
        "Stripe_Next_Renewal__c": "next_renewal",
        "Stripe_Cancels_At__c": "cancels_at",
        "Stripe_Customer_Status__c": "customer_status",
        "Stripe_Churned_On__c": "churned_on",
        "Stripe_Churn_Reason__c": "churn_reason",
        "Stripe_Lost_MRR__c": "lost_mrr",
        "Stripe_Lifetime_Value__c": "lifetime_value",
        "Stripe_Lifetime_Values__c": "lifetime_values",
        "Stripe_Last_Payment_Date__c": "last_payment_date",
        "Stripe_Last_Payment_Amount__c": "last_payment_amount",
        "Stripe_At_Risk__c": "at_risk",
        "Stripe_At_Risk_Reason__c": "at_risk_reason",
        "Stripe_Amount_Due__c": "amount_due",
        "Stripe_Attempt_Count__c": "attempt_count",
        "Stripe_Next_Attempt__c": "next_attempt",
    },
    "Contact": {
        "FirstName": "first_name",
        "LastName": "last_name",
        "Email": "email",
        "Phone": "phone",
        "MailingStreet": "street",
        "MailingCity": "city",
        "MailingState": "state",
        "MailingPostalCode": "postal_code",
        "MailingCountry": "country",
        "Stripe_Currency__c": "currency",
        "Stripe_Delinquent__c": "delinquent",
        "Stripe_Deleted__c": "deleted",
    },
    "Opportunity": {
        "Name": "name",
        "StageName": "stage",
        "CloseDate": "close_date",
        "Amount": "amount",
        "Type": "type",
        "Stripe_Movement__c": "movement",
        "Stripe_Plan__c": "plan",
        "Stripe_Interval__c": "interval",
        "Stripe_Currency__c": "currency",
        "Stripe_MRR__c": "mrr",
        "Stripe_ARR__c": "arr",
        "Stripe_Subscription_Id__c": "subscription",
    },
    "Task": {
        "Subject": "subject",
        "Status": "status",
        "Priority": "priority",
        "ActivityDate": "date",
        "Description": "description",
    },
    "Case": {
        "Subject": "subject",
        "Status": "status",
        "Priority": "priority",
        "Origin": "origin",
        "Description": "description",
    },
}

# Whether Stripe has the say over a field always, only as long as the field is empty, or never.
Policy = Literal["always", "if-empty", "never"]

# The External ID field on Account and Contact: unique and case-sensitive, since `cus_A` is not `cus_a`.
CUSTOMER_ID_FIELD = "Stripe_Customer_Id__c"
# The External ID field on every other object.
STRIPE_ID_FIELD = "Stripe_Id__c"


class _File(TomlConfigSettingsSource):
    """The file. What it maps takes the place of the default of that object, and leaves those of the others."""

    def __call__(self) -> dict[str, Any]:
        told = super().__call__()
        if isinstance(own := told.get("mapping"), dict):
            told = {**told, "mapping": {**DEFAULT_MAPPING, **own}}
        return told


class _Environment(PydanticBaseSettingsSource):
    """`SECTION_FIELD` and `SECTION_FIELD_FILE`; nothing else of the environment is looked at, so that what
    an orchestrator puts there (`GATEWAY_PORT=tcp://…`) cannot be taken for a setting."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        section = field.annotation
        found: dict[str, Any] = {}
        if isinstance(section, type) and issubclass(section, Section):
            for name in section.model_fields:
                variable = f"{field_name}_{name}".upper()
                if variable in os.environ:
                    found[name] = os.environ[variable]
                elif path := os.environ.get(f"{variable}_FILE"):
                    found[name] = _read(variable, path)
        return found, field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {
            name: self.get_field_value(f, name)[0] for name, f in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in values.items() if value}


def _read(variable: str, path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise SettingError(f"{variable}_FILE: cannot read {path}: {error.strerror}.") from None


class Settings(BaseSettings):
    """All settings of all stages, frozen. `load()` makes one."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", toml_file=TOML_FILE)

    stripe: Stripe = Stripe()
    kafka: Kafka = Kafka()
    salesforce: Salesforce = Salesforce()
    gateway: Gateway = Gateway()
    projector: Projector = Projector()
    writer: Writer = Writer()
    matching: Matching = Matching()
    pricing: Pricing = Pricing()
    opportunities: Opportunities = Opportunities()
    churn: Churn = Churn()
    activities: Activities = Activities()
    failed_payments: FailedPayments = FailedPayments()
    disputes: Disputes = Disputes()
    notify: Notify = Notify()
    revstream: Process = Process()
    mapping: Annotated[dict[str, dict[str, str]], NoDecode] = DEFAULT_MAPPING
    policies: Annotated[dict[str, dict[str, Policy]], NoDecode] = {}

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *args: Any, **kwargs: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = os.environ.get("REVSTREAM_TOML", TOML_FILE)
        return (
            kwargs.get("init_settings") or args[0],
            _Environment(settings_cls),
            _File(settings_cls, Path(toml)),
        )

    def fields_of(self, object_: str) -> dict[str, str]:
        """The mapping of one Salesforce object: field → source; an object that is not mapped has none."""
        return self.mapping.get(object_, {})


def load(**overrides: Any) -> Settings:
    """Reads all settings once.

    Raises SettingError, whose message is one line that names the setting and says how to set it.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise SettingError(_told(first["loc"], first["msg"])) from None
    except ValueError as error:  # a revstream.toml that is no TOML
        raise SettingError(f"{os.environ.get('REVSTREAM_TOML', TOML_FILE)}: {error}.") from None


def missing(section: str, field: str, why: str) -> SettingError:
    """The error for a setting that a stage cannot do without."""
    return SettingError(_told((section, field), why))


def _told(path: tuple[str | int, ...], problem: str) -> str:
    section, field = [*(str(part) for part in path), "", ""][:2]
    name = f"{section}_{field}".upper() if field else section
    return (
        f"{name}: {problem}. Set the environment variable {name}, or `{field}` under [{section}] "
        f"in {os.environ.get('REVSTREAM_TOML', TOML_FILE)}."
    )
