"""Composite, batch and graph over HTTP."""

from __future__ import annotations

from typing import Any

from tests.integration.sandbox_salesforce.conftest import KEY, VERSION, Caller


def post(reference: str, name: str, **body: Any) -> dict[str, Any]:
    url = f"{VERSION}/sobjects/{name}"
    return {"method": "POST", "url": url, "referenceId": reference, "body": body}


def get(reference: str, path: str) -> dict[str, Any]:
    return {"method": "GET", "url": f"{VERSION}{path}", "referenceId": reference}


async def composite(call: Caller, *requests: dict[str, Any], **told: Any) -> dict[str, dict[str, Any]]:
    reply = await call("POST", "/composite", json={"compositeRequest": requests, **told})
    assert reply.status == 200, reply.body
    return {each["referenceId"]: each for each in reply.body["compositeResponse"]}


async def test_answers_are_named_by_later_requests(call: Caller) -> None:
    upsert = {
        "method": "PATCH",
        "url": f"{VERSION}/sobjects/Account/{KEY}/cus_1",
        "referenceId": "a",
        "body": {"Name": "Acme"},
    }
    query = "/query?q=SELECT+Id,Name+FROM+Contact+WHERE+AccountId+=+'@{a.id}'"
    found = await composite(
        call,
        upsert,
        post("c", "Contact", LastName="Lee", AccountId="@{a.id}"),
        get("q", query),
        post("t", "Task", Subject="Call @{q.records[0].Name}", WhoId="@{q.records[0].Id}"),
    )
    assert [each["httpStatusCode"] for each in found.values()] == [201, 201, 200, 201]
    assert found["c"]["httpHeaders"]["Location"] == f"{VERSION}/sobjects/Contact/{found['c']['body']['id']}"
    assert await call.select("SELECT Subject, Who.Name FROM Task") == [
        {"Subject": "Call Lee", "Who": {"attributes": found_attributes(found), "Name": "Lee"}}
    ]
    usage = (await call("GET", "/limits")).headers["Sforce-Limit-Info"]
    assert usage == "api-usage=3/100000"  # the composite, the query and this call


def found_attributes(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {"type": "Contact", "url": found["c"]["httpHeaders"]["Location"]}


async def test_a_failure_stops_those_that_need_it(call: Caller) -> None:
    found = await composite(
        call,
        post("a", "Account"),
        post("b", "Contact", LastName="x", AccountId="@{a.id}"),
        post("c", "Account", Name="c"),
    )
    assert [each["httpStatusCode"] for each in found.values()] == [400, 400, 201]
    assert found["a"]["body"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert found["b"]["body"][0]["errorCode"] == "PROCESSING_HALTED"


async def test_all_or_none(call: Caller) -> None:
    found = await composite(
        call,
        post("a", "Account", Name="a"),
        post("b", "Contact"),
        post("c", "Account", Name="c"),
        allOrNone=True,
    )
    assert [each["body"][0]["errorCode"] for each in found.values()] == [
        "PROCESSING_HALTED",
        "REQUIRED_FIELD_MISSING",
        "PROCESSING_HALTED",
    ]
    assert await call.select("SELECT Id FROM Account") == []


async def test_order_is_kept_only_without_collation(call: Caller) -> None:
    count = "/query?q=SELECT+COUNT()+FROM+Account"
    requests = [post("a", "Account", Name="a"), get("q", count), post("b", "Account", Name="b")]
    assert (await composite(call, *requests))["q"]["body"]["totalSize"] == 2
    found = await composite(call, *requests, collateSubrequests=False)
    assert found["q"]["body"]["totalSize"] == 3


async def test_composite_has_limits(call: Caller) -> None:
    for requests in (
        [post(f"a{n}", "Account", Name="x") for n in range(26)],
        [get(f"q{n}", "/query?q=SELECT+Id+FROM+Account") for n in range(6)],
        [post("a", "Account", Name="x"), post("a", "Account", Name="y")],
        [get("a", "/jobs/ingest")],
        [{"method": "GET", "url": "/elsewhere", "referenceId": "a"}],
    ):
        reply = await call("POST", "/composite", json={"compositeRequest": requests})
        assert reply.status in (400, 404)
    assert await call.select("SELECT Id FROM Account") == []


async def test_a_batch_counts_each_of_its_requests(call: Caller) -> None:
    account = {"method": "POST", "url": "v65.0/sobjects/Account", "richInput": {"Name": "a"}}
    broken = {"method": "POST", "url": "v65.0/sobjects/Contact", "richInput": {}}
    limits = {"method": "GET", "url": "v65.0/limits"}
    reply = await call("POST", "/composite/batch", json={"batchRequests": [account, broken, limits]})
    assert reply.body["hasErrors"] is True
    assert [each["statusCode"] for each in reply.body["results"]] == [201, 400, 200]
    assert reply.headers["Sforce-Limit-Info"] == "api-usage=3/100000"
    told = {"batchRequests": [broken, account], "haltOnError": True}
    reply = await call("POST", "/composite/batch", json=told)
    assert [each["statusCode"] for each in reply.body["results"]] == [400, 412]


def graph(name: str, *requests: dict[str, Any]) -> dict[str, Any]:
    return {"graphId": name, "compositeRequest": list(requests)}


async def test_each_graph_stands_alone(call: Caller) -> None:
    whole = graph(
        "1", post("a", "Account", Name="a"), post("b", "Contact", LastName="x", AccountId="@{a.id}")
    )
    broken = graph("2", post("a", "Account", Name="c"), post("b", "Contact", AccountId="@{a.id}"))
    reply = await call("POST", "/composite/graph", json={"graphs": [whole, broken]})
    assert [each["isSuccessful"] for each in reply.body["graphs"]] == [True, False]
    answers = reply.body["graphs"][1]["graphResponse"]["compositeResponse"]
    assert [each["body"][0]["errorCode"] for each in answers] == [
        "PROCESSING_HALTED",
        "REQUIRED_FIELD_MISSING",
    ]
    assert await call.select("SELECT Name FROM Account") == [{"Name": "a"}]
    assert reply.headers["Sforce-Limit-Info"] == "api-usage=1/100000"


async def test_graphs_halt_after_fourteen_failures(call: Caller) -> None:
    broken = [graph(str(n), post("a", "Account")) for n in range(16)]
    told = [*broken, graph("last", post("a", "Account", Name="a"))]
    reply = await call("POST", "/composite/graph", json={"graphs": told})
    codes = [
        each["graphResponse"]["compositeResponse"][0]["body"][0]["errorCode"] for each in reply.body["graphs"]
    ]
    assert codes == ["REQUIRED_FIELD_MISSING"] * 14 + ["PROCESSING_HALTED"] * 3
    assert await call.select("SELECT Id FROM Account") == []


async def test_graphs_have_limits(call: Caller) -> None:
    chain = [post("n0", "Account", Name="x")]
    chain += [post(f"n{n}", "Account", Name="x", ParentId=f"@{{n{n - 1}.id}}") for n in range(1, 16)]
    for graphs in (
        [graph(str(n), post("a", "Account", Name="x")) for n in range(76)],
        [graph("1", *(post(f"a{n}", "Account", Name="x") for n in range(501)))],
        [graph("1", *chain)],
        [graph("1", get("q", "/query?q=SELECT+Id+FROM+Account"))],
        [graph("1", post("a", "Account", Name="x")), graph("1", post("a", "Account", Name="x"))],
    ):
        reply = await call("POST", "/composite/graph", json={"graphs": graphs})
        assert reply.status in (400, 404)
    reply = await call("POST", "/composite/graph", json={"graphs": [graph("1", *chain[:15])]})
    assert reply.body["graphs"][0]["isSuccessful"] is True
