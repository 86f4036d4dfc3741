"""What the org says about itself: versions, resources, limits, objects and fields."""

from __future__ import annotations

from typing import Any

from stream.sandbox.salesforce.resources import (
    NEWEST_VERSION,
    OLDEST_VERSION,
    Answer,
    Call,
    Work,
    route,
)
from stream.sandbox.salesforce.schema import NUMBERS, Entity, Field, Schema

_SEASONS = ("Summer", "Winter", "Spring")


def versions() -> list[dict[str, str]]:
    """The answer of `/services/data`, which needs no login. Version 31 is Summer '14; three come a year."""
    return [
        {
            "label": f"{_SEASONS[(number - 31) % 3]} '{14 + (number - 29) // 3:02d}",
            "url": f"/services/data/v{number}.0",
            "version": f"{number}.0",
        }
        for number in range(OLDEST_VERSION, NEWEST_VERSION + 1)
    ]


def _resources(work: Work, call: Call) -> Answer:
    names = ("sobjects", "query", "queryAll", "composite", "limits", "jobs")
    return Answer(body={name: f"{call.base}/{name}" for name in names})


def _limits(work: Work, call: Call) -> Answer:
    org = work.org
    batches = org.options.daily_bulk_batches
    told = {
        "DailyApiRequests": (org.options.daily_limit, org.calls_used.used + 1),
        "DailyBulkApiBatches": (batches, org.batches_used.used),
        "DailyBulkV2QueryJobs": (10_000, 0),
        "DataStorageMB": (10_240, 0),
    }
    return Answer(
        body={name: {"Max": most, "Remaining": max(most - used, 0)} for name, (most, used) in told.items()}
    )


def _summary(entity: Entity, base: str) -> dict[str, Any]:
    address = f"{base}/sobjects/{entity.name}"
    return {
        "name": entity.name,
        "label": entity.label,
        "labelPlural": entity.plural,
        "keyPrefix": entity.prefix,
        "custom": entity.name.endswith("__c"),
        "createable": True,
        "updateable": True,
        "deletable": True,
        "undeletable": False,
        "queryable": True,
        "retrieveable": True,
        "searchable": False,
        "urls": {
            "sobject": address,
            "describe": f"{address}/describe",
            "rowTemplate": f"{address}/{{ID}}",
        },
    }


_SOAP_TYPES = {"id": "tns:ID", "reference": "tns:ID", "boolean": "xsd:boolean", "int": "xsd:int"}
_SOAP_TYPES |= {"date": "xsd:date", "datetime": "xsd:dateTime"}


def _field(entity: Entity, field: Field) -> dict[str, Any]:
    number = field.type in NUMBERS
    return {
        "name": field.name,
        "label": field.label,
        "type": field.type,
        "soapType": _SOAP_TYPES.get(field.type, "xsd:double" if number else "xsd:string"),
        "length": 18 if field.type in ("id", "reference") else field.length,
        "byteLength": 3 * field.length,
        "digits": field.precision if field.type == "int" else 0,
        "precision": field.precision if number and field.type != "int" else 0,
        "scale": field.scale if number and field.type != "int" else 0,
        "nillable": not field.required and field.type not in ("boolean", "id"),
        "defaultedOnCreate": field.default is not None
        or field.name == "OwnerId"
        or field.writable == "never",
        "defaultValue": field.default,
        "createable": field.writable != "never",
        "updateable": field.writable == "always",
        "unique": field.unique,
        "externalId": field.external_id,
        "idLookup": field.id_lookup or field.external_id,
        "caseSensitive": field.case_sensitive,
        "custom": field.custom,
        "nameField": field.name == entity.name_field,
        "calculated": False,
        "filterable": True,
        "sortable": True,
        "groupable": not number,
        "referenceTo": list(field.to),
        "relationshipName": field.relationship or None,
        "polymorphicForeignKey": field.polymorphic,
        "cascadeDelete": field.cascade,
        "restrictedPicklist": field.restricted,
        "picklistValues": [
            {"value": v, "label": v, "active": True, "defaultValue": v == field.default} for v in field.values
        ],
    }


def _children(entity: Entity, schema: Schema) -> list[dict[str, Any]]:
    return [
        {
            "childSObject": child.name,
            "field": field.name,
            "relationshipName": child.plural.replace(" ", ""),
            "cascadeDelete": field.cascade,
        }
        for child in schema.entities.values()
        for field in child.references
        if entity.name in field.to and field.writable != "never"
    ]


def _all(work: Work, call: Call) -> Answer:
    objects = [_summary(entity, call.base) for entity in work.org.schema.entities.values()]
    return Answer(body={"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": objects})


def _basic(work: Work, call: Call) -> Answer:
    summary = _summary(work.entity(call.names["object"]), call.base)
    return Answer(body={"objectDescribe": summary, "recentItems": []})


def _one(work: Work, call: Call) -> Answer:
    entity = work.entity(call.names["object"])
    return Answer(
        body=_summary(entity, call.base)
        | {
            "fields": [_field(entity, field) for field in entity.fields.values()],
            "childRelationships": _children(entity, work.org.schema),
            "recordTypeInfos": [],
        }
    )


ROUTES = (
    route("GET", "/", "resources", _resources),
    route("GET", "/limits", "limits", _limits),
    route("GET", "/sobjects", "describe", _all),
    route("GET", "/sobjects/{object}", "describe", _basic),
    route("GET", "/sobjects/{object}/describe", "describe", _one),
)
