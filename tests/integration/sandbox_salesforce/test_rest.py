"""Records, Collections, queries and descriptions over HTTP."""

from __future__ import annotations

import ssl
from typing import Any

import aiohttp
import pytest

from stream.sandbox.salesforce import LocalSalesforce
from tests.integration.sandbox_salesforce.conftest import KEY, VERSION, Caller


async def test_login_over_https_gives_the_address_that_was_called(salesforce: LocalSalesforce) -> None:
    trust = ssl.create_default_context(cafile=str(salesforce.ca_file))
    form = {"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox"}
    async with aiohttp.ClientSession() as session:
        url = f"{salesforce.https_url}/services/oauth2/token"
        async with session.post(url, data=form, ssl=trust) as answer:
            told = await answer.json()
        assert (answer.status, told["instance_url"]) == (200, salesforce.https_url)
        headers = {"Authorization": f"{told['token_type']} {told['access_token']}"}
        limits = f"{told['instance_url']}{VERSION}/limits"
        async with session.get(limits, headers=headers, ssl=trust) as answer:
            assert answer.status == 200
        async with session.post(url, data=form | {"client_secret": "x"}, ssl=trust) as answer:
            assert (answer.status, (await answer.json())["error"]) == (400, "invalid_client")


async def test_nobody_else_gets_in(call: Caller) -> None:
    for header in ({}, {"Authorization": "Bearer 00D!none"}, {"Authorization": "Basic x"}):
        url = f"{call.salesforce.url}{VERSION}/limits"
        async with call.session.get(url, headers=header) as answer:
            assert (answer.status, (await answer.json())[0]["errorCode"]) == (401, "INVALID_SESSION_ID")


async def test_a_record_lives(call: Caller) -> None:
    identifier = await call.create("Account", Name="Acme", Phone="1")
    path = f"/sobjects/Account/{identifier}"
    assert (await call("PATCH", path, json={"Phone": None, "BillingCity": "Rome"})).status == 204
    record = (await call("GET", path)).body
    assert (record["Name"], record["Phone"], record["BillingCity"]) == ("Acme", None, "Rome")
    assert record["attributes"] == {"type": "Account", "url": f"{VERSION}{path}"}
    short = (await call("GET", f"/sobjects/account/{identifier[:15]}", params={"fields": "Name"})).body
    assert {name for name in short if name != "attributes"} == {"Name"}
    assert (await call("DELETE", path)).status == 204
    for method in ("GET", "PATCH", "DELETE"):
        gone = await call(method, path, json={} if method == "PATCH" else None)
        assert (gone.status, gone.code) == (404, "ENTITY_IS_DELETED")
    assert await call.select("SELECT Id FROM Account") == []
    every = await call("GET", "/queryAll", params={"q": "SELECT Id, IsDeleted FROM Account"})
    assert [(row["Id"], row["IsDeleted"]) for row in every.body["records"]] == [(identifier, True)]


async def test_an_upsert_by_external_id(call: Caller) -> None:
    path = f"/sobjects/Account/{KEY}/cus%2F1%20%C3%A9"
    created = await call("PATCH", path, json={"Name": "Acme"})
    assert (created.status, created.body["created"], created.body["success"]) == (201, True, True)
    updated = await call("PATCH", path, json={"Name": "Acme 2"})
    assert (updated.status, updated.body["created"]) == (200, False)
    old = await call("PATCH", f"/services/data/v45.0{path}", json={"Name": "Acme 3"})
    assert (old.status, old.body) == (204, "")
    assert (await call("GET", path)).body[KEY] == "cus/1 é"
    named = await call("PATCH", path, json={KEY: "cus_2"})
    assert (named.status, named.code) == (400, "INVALID_FIELD")
    absent = await call("PATCH", f"/sobjects/Account/{KEY}/none?updateOnly=true", json={"Name": "x"})
    assert (absent.status, absent.code) == (404, "NOT_FOUND")
    assert (await call("PATCH", "/sobjects/Account/Phone/1", json={})).code == "NOT_FOUND"
    assert (await call("DELETE", path)).status == 204
    assert (await call("GET", path)).status == 404


async def test_an_external_id_on_several_records_is_300(call: Caller) -> None:
    field = {"Account": {"fields": {"Old__c": {"type": "string", "external_id": True}}}}
    assert (await call.admin("PATCH", "/schema", json=field)).status == 200
    ids = [await call.create("Account", Name=name, Old__c="7") for name in "ab"]
    for method in ("GET", "PATCH", "DELETE"):
        reply = await call(method, "/sobjects/Account/Old__c/7", json={} if method == "PATCH" else None)
        assert reply.status == 300
        assert reply.body == [f"{VERSION}/sobjects/Account/{identifier}" for identifier in ids]
    row = {"attributes": {"type": "Account"}, "Old__c": "7", "Name": "c"}
    reply = await call("PATCH", "/composite/sobjects/Account/Old__c", json={"records": [row]})
    assert reply.codes == ["DUPLICATE_EXTERNAL_ID"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/sobjects/Account", {}, 400, "REQUIRED_FIELD_MISSING"),
        ("POST", "/sobjects/Account", {"Name": "x", "Nope__c": 1}, 400, "INVALID_FIELD"),
        ("POST", "/sobjects/Account", [1], 400, "JSON_PARSER_ERROR"),
        ("POST", "/sobjects/Account", "{", 400, "JSON_PARSER_ERROR"),
        ("POST", "/sobjects/Nothing", {}, 404, "NOT_FOUND"),
        ("GET", "/sobjects/Account/001", None, 404, "NOT_FOUND"),
        ("GET", "/sobjects/Account/001Sb0000000009IAA", None, 404, "NOT_FOUND"),
        ("PATCH", "/sobjects/Account/001Sb0000000009IAA", {}, 404, "NOT_FOUND"),
        ("GET", "/nowhere", None, 404, "NOT_FOUND"),
        ("PUT", "/limits", None, 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/services/data/v30.0/limits", None, 410, "UNSUPPORTED_API_VERSION"),
        ("GET", "/services/data/v69.0/limits", None, 404, "NOT_FOUND"),
        ("GET", "/services/data/v65/limits", None, 404, "NOT_FOUND"),
        ("GET", "/query", None, 400, "MALFORMED_QUERY"),
        ("GET", "/query?q=SELECT+Nope+FROM+Account", None, 400, "INVALID_FIELD"),
        ("GET", "/query/01gSb0000000001AAA-2000", None, 400, "INVALID_QUERY_LOCATOR"),
        ("GET", "/query?q=" + "x" * 17_000, None, 414, "URI_TOO_LONG"),
    ],
)
async def test_what_is_refused(
    call: Caller, method: str, path: str, body: Any, status: int, code: str
) -> None:
    told = (
        {"data": body, "headers": {"Content-Type": "application/json"}}
        if isinstance(body, str)
        else {"json": body}
    )
    reply = await call(method, path, **told)
    assert (reply.status, reply.code) == (status, code)
    assert set(reply.body[0]) <= {"message", "errorCode", "fields"}


async def test_a_body_of_another_kind_is_refused(call: Caller) -> None:
    reply = await call("POST", "/sobjects/Account", data="<x/>", headers={"Content-Type": "application/xml"})
    assert (reply.status, reply.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_collections_keep_the_order_and_tell_each_row(call: Caller) -> None:
    reply = await call.upsert(
        "Account",
        {KEY: "cus_1", "Name": "a"},
        {KEY: "cus_2"},
        {KEY: "cus_3", "Name": "c"},
        {KEY: "cus_3", "Name": "d"},
        {"Name": "e"},
        {KEY: "cus_6", "Name": "f" * 256},
        {KEY: "cus_7", "Name": "g", "id": "001Sb0000000009IAA"},
        {KEY: "cus_8", "Name": "h", "Nope__c": 1},
        {KEY: "cus_9", "Name": "i", "Stripe_Deleted__c": "maybe"},
    )
    assert reply.status == 200
    assert reply.codes == [
        None,
        "REQUIRED_FIELD_MISSING",
        "DUPLICATE_VALUE",
        "DUPLICATE_VALUE",
        "MISSING_ARGUMENT",
        "STRING_TOO_LONG",
        "INVALID_FIELD_FOR_INSERT_UPDATE",
        "INVALID_FIELD",
        "JSON_PARSER_ERROR",
    ]
    assert reply.body[0]["created"] is True
    assert reply.body[1]["errors"][0] == {
        "statusCode": "REQUIRED_FIELD_MISSING",
        "message": "Required fields are missing: [Name]",
        "fields": ["Name"],
    }
    assert reply.body[2]["errors"][0]["message"] == "Duplicate external id specified: cus_3"
    again = await call.upsert("Account", {KEY: "cus_1", "Name": "b"}, {KEY: "CUS_1", "Name": "c"})
    assert [row["created"] for row in again.body] == [False, True]


async def test_collections_all_or_none(call: Caller) -> None:
    rows = ({KEY: "cus_1", "Name": "a"}, {KEY: "cus_2"})
    reply = await call.upsert("Account", *rows, allOrNone=True)
    assert reply.codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING"]
    assert await call.select("SELECT Id FROM Account") == []


async def test_collections_insert_update_get_and_delete(call: Caller) -> None:
    def typed(name: str, **fields: Any) -> dict[str, Any]:
        return {"attributes": {"type": name}, **fields}

    rows = [typed("Account", Name="a"), typed("Contact", LastName="b"), typed("Nothing"), typed("Contact")]
    made = await call("POST", "/composite/sobjects", json={"records": rows})
    assert made.codes == [None, None, "INVALID_TYPE", "REQUIRED_FIELD_MISSING"]
    account, contact = (row["id"] for row in made.body[:2])
    rows = [
        typed("Contact", id=contact, AccountId=account),
        typed("Account", Id=account, Name="c"),
        typed("Account"),
    ]
    changed = await call("PATCH", "/composite/sobjects", json={"records": rows})
    assert changed.codes == [None, None, "MISSING_ARGUMENT"]
    unknown = "001Sb0000000009IAA"
    got = await call("GET", f"/composite/sobjects/Account?ids={account},{unknown}&fields=Name")
    assert [row and row["Name"] for row in got.body] == ["c", None]
    posted = await call("POST", "/composite/sobjects/Account", json={"ids": [account], "fields": ["Name"]})
    assert posted.body == got.body[:1]
    gone = await call("DELETE", f"/composite/sobjects?ids={contact},{unknown},xyz&allOrNone=false")
    assert gone.codes == [None, "INVALID_CROSS_REFERENCE_KEY", "MALFORMED_ID"]


async def test_collections_have_limits(call: Caller) -> None:
    many = [{"attributes": {"type": "Account"}, KEY: str(n), "Name": "x"} for n in range(201)]
    reply = await call("PATCH", f"/composite/sobjects/Account/{KEY}", json={"records": many})
    assert (reply.status, reply.code) == (400, "EXCEEDED_ID_LIMIT")
    mixed = [{"attributes": {"type": ("Account", "Contact")[n % 2]}} for n in range(11)]
    reply = await call("POST", "/composite/sobjects", json={"records": mixed})
    assert (reply.status, reply.code) == (400, "LIMIT_EXCEEDED")
    reply = await call("POST", "/composite/sobjects", json={"records": [{"Name": "x"}]})
    assert reply.status == 400
    assert await call.select("SELECT Id FROM Account") == []


async def test_a_query_goes_on_for_pages(call: Caller) -> None:
    rows = [{KEY: f"cus_{n:03}", "Name": "x"} for n in range(5)]
    await call.upsert("Account", *rows)
    await call.upsert(
        "Contact", *({KEY: row[KEY], "LastName": "y", "Account": {KEY: row[KEY]}} for row in rows)
    )
    await call.options(query_page_rows=2)
    query = (
        "SELECT Stripe_Customer_Id__c, Account.Stripe_Customer_Id__c, Owner.Name FROM Contact "
        "ORDER BY Stripe_Customer_Id__c"
    )
    page = (await call("GET", "/query", params={"q": query})).body
    assert (page["totalSize"], page["done"], len(page["records"])) == (5, False, 2)
    found = list(page["records"])
    while not page["done"]:
        page = (await call("GET", page["nextRecordsUrl"])).body
        found += page["records"]
    assert [row[KEY] for row in found] == [row["Account"][KEY] for row in found] == [row[KEY] for row in rows]
    assert found[0]["Owner"]["attributes"]["type"] == "User"
    count = (await call("GET", "/query", params={"q": "SELECT COUNT() FROM Contact"})).body
    assert count == {"totalSize": 5, "done": True, "records": []}


async def test_the_org_describes_itself(call: Caller) -> None:
    async with call.session.get(f"{call.salesforce.url}/services/data") as answer:
        versions = await answer.json()
    assert [versions[0]["version"], versions[-1]["version"]] == ["31.0", "68.0"]
    assert next(each["label"] for each in versions if each["version"] == "65.0") == "Winter '26"
    names = {each["name"] for each in (await call("GET", "/sobjects")).body["sobjects"]}
    assert {"Account", "Contact", "Opportunity", "Task", "Case", "CampaignMember"} <= names
    told = (await call("GET", "/sobjects/Contact/describe")).body
    fields = {field["name"]: field for field in told["fields"]}
    assert told["keyPrefix"] == "003"
    key = fields[KEY]
    assert (key["externalId"], key["unique"], key["caseSensitive"], key["length"]) == (True, True, True, 255)
    assert fields["AccountId"]["referenceTo"] == ["Account"]
    assert fields["AccountId"]["relationshipName"] == "Account"
    assert (fields["LastName"]["nillable"], fields["Email"]["type"], fields["Id"]["updateable"]) == (
        False,
        "email",
        False,
    )
    assert (await call("GET", "/sobjects/Nothing/describe")).code == "NOT_FOUND"
    assert (await call("GET", "/")).body["limits"] == f"{VERSION}/limits"


async def test_a_field_that_is_not_there(call: Caller) -> None:
    removed = {"Account": {"fields": {"Stripe_Currency__c": None}}}
    assert (await call.admin("PATCH", "/schema", json=removed)).status == 200
    reply = await call.upsert("Account", {KEY: "cus_1", "Name": "a", "Stripe_Currency__c": "EUR"})
    assert reply.codes == ["INVALID_FIELD"]
    assert reply.body[0]["errors"][0]["message"] == (
        "No such column 'Stripe_Currency__c' on sobject of type Account"
    )
    told = (await call("GET", "/sobjects/Account/describe")).body
    assert "Stripe_Currency__c" not in {field["name"] for field in told["fields"]}
    bad = await call.admin("PATCH", "/schema", json={"Account": {"fields": {"X__c": {"type": "colour"}}}})
    assert (bad.status, "Account" in bad.body["error"]) == (400, True)
