"""What the org's objects are made of. `org.toml` is the org as delivered; `Schema.patched` changes it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import msgspec

from stream.sandbox.salesforce.identifiers import DIGITS

Scalar = str | int | float | bool | None
FieldType = Literal[
    "id",
    "string",
    "textarea",
    "email",
    "phone",
    "url",
    "picklist",
    "boolean",
    "int",
    "double",
    "currency",
    "percent",
    "date",
    "datetime",
    "reference",
]
_EXACT = frozenset({"id", "reference", "date", "datetime"})
NUMBERS = frozenset({"int", "double", "currency", "percent"})


class SchemaError(Exception):
    """A change that cannot be made. The message names the object or field."""


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One field. `length` is in characters; `precision` counts all digits of a number, `scale` those after
    the point. `to` are the objects a reference may name, and `relationship` what its parent is called.
    `locks` says that writing the record locks that parent, `cascade` that it goes when the parent goes."""

    type: FieldType = "string"
    name: str = ""
    label: str = ""
    length: int = 0
    precision: int = 18
    scale: int = 2
    required: bool = False
    unique: bool = False
    external_id: bool = False
    case_sensitive: bool = False
    id_lookup: bool = False
    indexed: bool = False
    restricted: bool = False
    values: tuple[str, ...] = ()
    default: Scalar = None
    to: tuple[str, ...] = ()
    relationship: str = ""
    polymorphic: bool = False
    cascade: bool = False
    locks: bool = True
    writable: Literal["always", "create", "never"] = "always"

    @property
    def custom(self) -> bool:
        """Whether the org's people made it."""
        return self.name.endswith("__c")

    @property
    def keyed(self) -> bool:
        """Whether records can be found by it without reading all of them."""
        return self.indexed or self.unique or self.external_id or self.id_lookup or self.type == "reference"

    def key(self, value: Scalar) -> Scalar:
        """What two values that are the same to Salesforce have in common."""
        folds = not self.case_sensitive and self.type not in _EXACT
        return value.casefold() if folds and isinstance(value, str) else value


class Together(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fields whose values no two records share, and what is said when they would."""

    fields: tuple[str, ...]
    message: str


class Entity(msgspec.Struct, frozen=True, dict=True, forbid_unknown_fields=True):
    """One object. `prefix` starts its IDs; `locked_by_children` is false for objects that writes of their
    children leave unlocked."""

    name: str = ""
    label: str = ""
    plural: str = ""
    prefix: str = ""
    name_field: str = "Name"
    owned: bool = False
    locked_by_children: bool = True
    unique_together: tuple[Together, ...] = ()
    fields: dict[str, Field] = {}

    @cached_property
    def references(self) -> tuple[Field, ...]:
        """The fields that name another record."""
        return tuple(field for field in self.fields.values() if field.type == "reference")

    @cached_property
    def _by_name(self) -> dict[str, Field]:
        return {name.casefold(): field for name, field in self.fields.items()}

    @cached_property
    def _by_relationship(self) -> dict[str, Field]:
        return {field.relationship.casefold(): field for field in self.references}

    def field(self, name: str) -> Field | None:
        """A field by its name, in any case, as Salesforce takes it."""
        return self.fields.get(name) or self._by_name.get(name.casefold())

    def parent(self, relationship: str) -> Field | None:
        """The reference field behind a relationship's name."""
        return self._by_relationship.get(relationship.casefold())


_USER = {"type": "reference", "to": ["User"], "writable": "never", "locks": False}
SYSTEM_FIELDS: dict[str, dict[str, Any]] = {
    "Id": {"type": "id", "length": 18, "writable": "never", "id_lookup": True},
    "IsDeleted": {"type": "boolean", "default": False, "writable": "never"},
    "CreatedDate": {"type": "datetime", "writable": "never"},
    "CreatedById": {**_USER, "relationship": "CreatedBy"},
    "LastModifiedDate": {"type": "datetime", "writable": "never"},
    "LastModifiedById": {**_USER, "relationship": "LastModifiedBy"},
    "SystemModstamp": {"type": "datetime", "writable": "never"},
}
OWNER = {"type": "reference", "to": ["User"], "relationship": "Owner", "locks": False, "label": "Owner ID"}


class Schema(msgspec.Struct, frozen=True, dict=True):
    """All objects by name. `raw` is what it was made from."""

    entities: dict[str, Entity]
    raw: dict[str, Any]

    @cached_property
    def _by_name(self) -> dict[str, Entity]:
        return {name.casefold(): entity for name, entity in self.entities.items()}

    @cached_property
    def _by_prefix(self) -> dict[str, Entity]:
        return {entity.prefix: entity for entity in self.entities.values()}

    def entity(self, name: str) -> Entity | None:
        """An object by its name, in any case."""
        return self._by_name.get(name.casefold())

    def of_id(self, identifier: str) -> Entity | None:
        """The object that an ID belongs to."""
        return self._by_prefix.get(identifier[:3])

    def patched(self, patch: Mapping[str, Any]) -> Schema:
        """This schema with objects and fields added, changed, or removed where the patch says null.

        The patch has the shape of `org.toml`. Raises SchemaError.
        """
        raw = deepcopy(self.raw)
        for name, change in patch.items():
            if change is None:
                if raw.pop(name, None) is None:
                    raise SchemaError(f"{name}: no such object.")
                continue
            if not isinstance(change, dict) or not isinstance(change.get("fields", {}), dict):
                raise SchemaError(f"{name}: an object is written as {{fields: {{…}}, …}}, or null.")
            entity = raw.setdefault(name, {"fields": {"Name": {"type": "string", "length": 80}}})
            entity.setdefault("prefix", _free_prefix(raw))
            entity.update({key: value for key, value in change.items() if key != "fields"})
            for field, told in change.get("fields", {}).items():
                if told is not None:
                    entity["fields"][field] = told
                elif entity["fields"].pop(field, None) is None:
                    raise SchemaError(f"{name}.{field}: no such field.")
        return build(raw)


def _free_prefix(raw: Mapping[str, Any]) -> str:
    """Custom objects are numbered a00, a01, … by Salesforce."""
    taken = {entity.get("prefix") for entity in raw.values()}
    return next(f"a0{digit}" for digit in DIGITS if f"a0{digit}" not in taken)


def build(raw: dict[str, Any]) -> Schema:
    """A schema from what `org.toml` holds. Raises SchemaError."""
    schema = Schema({name: _entity(name, told) for name, told in raw.items()}, raw)
    prefixes = [entity.prefix for entity in schema.entities.values()]
    for entity in schema.entities.values():
        if not re.fullmatch(r"[0-9A-Za-z]{3}", entity.prefix) or prefixes.count(entity.prefix) > 1:
            raise SchemaError(f"{entity.name}: `prefix` must be three letters or digits of its own.")
        for field in entity.fields.values():
            if field.type == "reference" and not field.to:
                raise SchemaError(f"{entity.name}.{field.name}: a reference needs `to`.")
            for target in field.to:
                if target not in schema.entities:
                    raise SchemaError(f"{entity.name}.{field.name}: there is no object {target}.")
    return schema


def _entity(name: str, told: Mapping[str, Any]) -> Entity:
    fields = dict(SYSTEM_FIELDS) | ({"OwnerId": OWNER} if told.get("owned") else {}) | told.get("fields", {})
    try:
        made = {field: _field(field, settings) for field, settings in fields.items()}
        rest = msgspec.convert({key: value for key, value in told.items() if key != "fields"}, Entity)
    except msgspec.ValidationError as error:
        raise SchemaError(f"{name}: {error}") from None
    label = rest.label or name.removesuffix("__c").replace("_", " ")
    return msgspec.structs.replace(
        rest,
        name=name,
        label=label,
        plural=rest.plural or f"{label}s",
        fields=made,
    )


def _field(name: str, settings: Mapping[str, Any]) -> Field:
    field = msgspec.convert(settings, Field)
    relationship = field.relationship
    if field.type == "reference" and not relationship:
        relationship = f"{name[:-1]}r" if name.endswith("__c") else name.removesuffix("Id")
    return msgspec.structs.replace(
        field,
        name=name,
        label=field.label or name.removesuffix("__c").replace("_", " "),
        relationship=relationship,
        length=field.length or (255 if field.type in ("string", "picklist") else 0),
    )


def load() -> Schema:
    """The org as delivered."""
    return build(tomllib.loads(Path(__file__).with_name("org.toml").read_text()))
