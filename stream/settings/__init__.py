"""Settings, from the environment and an optional `revstream.toml`.

A setting `field` of section `section` is the environment variable `SECTION_FIELD`; `SECTION_FIELD_FILE`
names a file that holds the value (for mounted secrets). The environment wins over the file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from stream.settings.fields import CUSTOMER_ID_FIELD, DEFAULT_MAPPING, STRIPE_ID_FIELD, Policy
from stream.settings.notices import ChannelName, Notify, Route
from stream.settings.section import Section
from stream.settings.stages import Gateway, Kafka, Process, Projector, Salesforce, Stripe, Writer
from stream.settings.workflows import (
    Activities,
    Churn,
    Disputes,
    FailedPayments,
    Matching,
    Opportunities,
    Pricing,
)

__all__ = [
    "CUSTOMER_ID_FIELD",
    "DEFAULT_MAPPING",
    "STRIPE_ID_FIELD",
    "ChannelName",
    "Churn",
    "Kafka",
    "Matching",
    "Notify",
    "Opportunities",
    "Policy",
    "Route",
    "Salesforce",
    "Section",
    "SettingError",
    "Settings",
    "Stripe",
    "load",
    "missing",
]

TOML_FILE = "revstream.toml"


class SettingError(Exception):
    """A setting is missing or wrong. The message is one line: which setting, and how to set it."""


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
