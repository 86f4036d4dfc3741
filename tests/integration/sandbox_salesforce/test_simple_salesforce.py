"""A client that nobody here wrote: simple-salesforce, over https with the sandbox's own CA."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceMalformedRequest,
    SalesforceResourceNotFound,
)

from stream.sandbox.salesforce import Fault, Identity, LocalSalesforce

KEY = "Stripe_Customer_Id__c"
T = TypeVar("T")

PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = PRIVATE.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
PUBLIC = PRIVATE.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


class ToSandbox(HTTPAdapter):
    """Sends what is meant for salesforce.com, a name that the library hard-codes, to the sandbox."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        parts = urlsplit(str(request.url))
        request.url = f"{self._address}{parts.path}"
        return super().send(request, *args, **kwargs)


@pytest_asyncio.fixture
async def salesforce() -> AsyncIterator[LocalSalesforce]:
    async with LocalSalesforce(
        identity=Identity("app", "s3cret", "me@x.example", PUBLIC.decode())
    ) as running:
        yield running


@pytest.fixture
def session(salesforce: LocalSalesforce) -> Iterator[requests.Session]:
    """Trusts the sandbox's CA and no other."""
    with requests.Session() as session:
        session.trust_env = False  # else REQUESTS_CA_BUNDLE wins over `verify`
        session.verify = str(salesforce.ca_file)
        session.mount("https://acme.my.salesforce.com", ToSandbox(salesforce.https_url))
        session.mount("https://login.salesforce.com", ToSandbox(salesforce.https_url))
        yield session


async def away(work: Callable[[], T]) -> T:
    """Runs the library, which blocks, beside the sandbox."""
    return await asyncio.to_thread(work)


def client_credentials(session: requests.Session) -> Salesforce:
    return Salesforce(
        consumer_key="app", consumer_secret="s3cret", domain="acme.my", session=session, version="65.0"
    )


async def test_client_credentials_query_upsert_and_describe(session: requests.Session) -> None:
    def work() -> None:
        client = client_credentials(session)
        assert client.Account.upsert(f"{KEY}/cus_1", {"Name": "Acme"}) == 201
        assert client.Account.upsert(f"{KEY}/cus_1", {"Name": "Acme & Söhne"}) == 200
        made = client.Contact.create({"LastName": "Lee", "Account": {KEY: "cus_1"}})
        found = client.query(
            "SELECT Id, Account.Name FROM Contact WHERE Account.Stripe_Customer_Id__c = 'cus_1'"
        )
        assert [(row["Id"], row["Account"]["Name"]) for row in found["records"]] == [
            (made["id"], "Acme & Söhne")
        ]
        assert client.Account.get_by_custom_id(KEY, "cus_1")["Name"] == "Acme & Söhne"
        assert client.Contact.update(made["id"], {"Email": "lee@acme.example"}) == 204
        assert client.api_usage["api-usage"] == (4, 100_000)  # as of the query
        described = {field["name"]: field for field in client.Account.describe()["fields"]}
        assert described[KEY]["externalId"] is True
        assert {"Account", "Contact"} <= {each["name"] for each in client.describe()["sobjects"]}
        assert client.limits()["DailyApiRequests"]["Max"] == 100_000
        rows = [{"attributes": {"type": "Account"}, KEY: f"cus_{n}", "Name": "x"} for n in range(3)]
        path = f"composite/sobjects/Account/{KEY}"
        results = client.restful(path, method="PATCH", json={"records": rows})
        assert [row["created"] for row in results] == [True, False, True]
        assert client.Contact.delete(made["id"]) == 204
        with pytest.raises(SalesforceResourceNotFound):
            client.Contact.get(made["id"])
        with pytest.raises(SalesforceMalformedRequest, match="No such column"):
            client.query("SELECT Nope FROM Account")

    await away(work)


async def test_query_all_pages(salesforce: LocalSalesforce, session: requests.Session) -> None:
    salesforce.org.options = salesforce.org.options.changed({"query_page_rows": 2})

    def work() -> None:
        client = client_credentials(session)
        rows = [{"attributes": {"type": "Account"}, "Name": f"n{n}"} for n in range(5)]
        client.restful("composite/sobjects", method="POST", json={"records": rows})
        found = client.query_all_iter("SELECT Name FROM Account ORDER BY Name")
        assert [row["Name"] for row in found] == ["n0", "n1", "n2", "n3", "n4"]

    await away(work)


async def test_jwt_bearer(session: requests.Session, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(PEM)

    def work() -> None:
        for key in ({"privatekey": PEM}, {"privatekey_file": str(file)}):
            client = Salesforce(username="me@x.example", consumer_key="app", session=session, **key)
            assert client.query("SELECT COUNT() FROM Account")["totalSize"] == 0

    await away(work)


async def test_a_login_that_is_refused(session: requests.Session) -> None:
    def work() -> None:
        with pytest.raises(SalesforceAuthenticationFailed, match="invalid client credentials"):
            Salesforce(consumer_key="app", consumer_secret="x", domain="acme.my", session=session)

    await away(work)


async def test_an_expired_session_is_renewed(salesforce: LocalSalesforce, session: requests.Session) -> None:
    def work() -> None:
        client = client_credentials(session)
        salesforce.org.faults.arm(Fault("expire-tokens"))
        assert client.query("SELECT COUNT() FROM Account")["totalSize"] == 0

    await away(work)
    assert salesforce.org.calls["login", 200] == 2


async def test_bulk_2(session: requests.Session) -> None:
    def work() -> None:
        client = client_credentials(session)
        records = [{KEY: f"cus_{n}", "Name": f"n{n}" if n != 3 else ""} for n in range(10)]
        (job,) = client.bulk2.Account.upsert(records=records, external_id_field=KEY, wait=0.02)
        assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (10, 1)
        results = client.bulk2.Account.get_all_ingest_records(job["job_id"])
        assert len(results["successfulRecords"]) == 9
        assert [row[KEY] for row in results["failedRecords"]] == ["cus_3"]
        assert results["unprocessedRecords"] == []
        ids = [row["sf__Id"] for row in results["successfulRecords"]]
        update = [{"Id": identifier, "Phone": "1"} for identifier in ids]
        (job,) = client.bulk2.Account.update(records=update, wait=0.02)
        assert job["numberRecordsFailed"] == 0
        (job,) = client.bulk2.Account.delete(
            records=[{"Id": identifier} for identifier in ids[:4]], wait=0.02
        )
        assert client.query("SELECT COUNT() FROM Account WHERE Phone = '1'")["totalSize"] == 5

    await away(work)
