"""The settings of the notifier: who is told of what, and how."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from stream.settings.section import Section, split

ChannelName = Literal["slack", "mail", "chatter", "log"]


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

    _lists = field_validator("mail_to", mode="before")(split)
