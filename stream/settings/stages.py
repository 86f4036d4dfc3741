"""The settings of what Revstream connects to, and of its stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator

from stream.settings.section import Section, split


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
        return split(value)


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

    _brokers = field_validator("brokers", mode="before")(split)


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


class Process(Section):
    state_dir: Path = Field(default=Path(".revstream"), description="embedded Kafka, tables, process IDs")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="the least important lines that are logged"
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="for people, or one JSON object a line"
    )
