"""No body, however odd, is more than refused: the sandbox itself never fails."""

from __future__ import annotations

import re
from typing import Any

import pytest

from stream.sandbox.salesforce.app import ROUTES
from stream.sandbox.salesforce.resources import Route
from tests.integration.sandbox_salesforce.conftest import KEY, Caller

ODD: tuple[Any, ...] = (
    None,
    [],
    {},
    7,
    "x",
    {"records": None},
    {"records": [None]},
    {"records": [{"attributes": None}]},
    {"records": [{"attributes": {"type": "Account"}, KEY: {"a": 1}, "id": 7}]},
    {"records": [{"attributes": {"type": "Account"}, KEY: "cus_1", "Name": [1]}], "allOrNone": "yes"},
    {"records": [{"attributes": {"type": "Contact"}, "Account": {"attributes": 1, KEY: None}}]},
    {"ids": 7, "fields": {"a": 1}},
    {"ids": ["x"], "fields": ["Nope"]},
    {"compositeRequest": [{"method": "GET", "url": "/services/data/v65.0/query", "referenceId": "a"}]},
    {"compositeRequest": [{"method": "POST", "url": "@{a}", "referenceId": "a", "body": "@{a[0].b}"}]},
    {"compositeRequest": 7, "batchRequests": 7, "graphs": 7},
    {"batchRequests": [{"method": "POST", "url": "v65.0/sobjects/Account", "richInput": 7}]},
    {"graphs": [{"graphId": "1", "compositeRequest": [{"url": 7}]}]},
    {"object": 7, "operation": ["upsert"], "externalIdFieldName": {}, "columnDelimiter": 7},
    {"object": "Account", "operation": "insert", "columnDelimiter": ["a"]},
    {"state": ["UploadComplete"]},
    {"Name": {"a": [1]}, "Account": 7, "What": {"attributes": {"type": 7}, "x": 1}, "Owner": {}},
    {"Seats": 1e400, "AnnualRevenue": 10**400, "NumberOfEmployees": -1.5, "Phone": True},
    {"": 1, "attributes": 7, "Id": {}, "ParentId": 7, "Parent": {"Id": 7}},
)


def addresses(route: Route) -> list[str]:
    """Addresses that the route answers: of what is there, and of what is not."""
    path = route.pattern.pattern.removesuffix("/?").replace("\\", "")
    found = []
    for values in (
        {"object": "Account", "field": KEY, "value": "cus_1"},
        {"object": "%00", "field": "'", "value": "%"},
    ):
        found.append(re.sub(r"\(\?P<(\w+)>\[\^/\]\+\)", lambda match, v=values: v.get(match[1], "001"), path))  # type: ignore[misc]
    return found


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE"])
async def test_the_sandbox_does_not_fail(call: Caller, method: str) -> None:
    paths = {path for route in ROUTES if route.method == method for path in addresses(route)}
    assert paths
    for path in sorted(paths):
        for body in ODD if method != "GET" else ODD[:1]:
            reply = await call(method, path, json=body)
            assert reply.status < 500, (method, path, body, reply.body)
    for body in ODD:
        for path in ("/seed", "/faults", "/options", "/schema"):
            if (
                body != {}
                and (method == "POST") == (path in ("/seed", "/faults"))
                and method in ("POST", "PATCH")
            ):
                reply = await call.admin(method, path, json=body)
                assert reply.status < 500, (method, path, body, reply.body)
