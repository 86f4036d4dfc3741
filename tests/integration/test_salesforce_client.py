"""The real client against the local Salesforce: the port's suite over http and https, and the session's logins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from stream import settings
from stream.salesforce.client import Client
from stream.salesforce.describe import Describer
from stream.salesforce.errors import Kind, RequestError
from stream.salesforce.session import LoginError, Session
from stream.sandbox.salesforce import Fault, Identity, LocalSalesforce
from stream.settings import CUSTOMER_ID_FIELD as ID
from tests.fakes.salesforce_port import SalesforcePort
from tests.fakes.writes import account
from tests.integration.org import seeded


def plain(sandbox: LocalSalesforce, **changes: Any) -> settings.Salesforce:
    return settings.Salesforce(
        **{
            "login_url": sandbox.url,
            "client_id": "sandbox",
            "client_secret": SecretStr("sandbox"),
            "timeout_seconds": 10,
            **changes,
        }
    )


def secure(sandbox: LocalSalesforce, **changes: Any) -> settings.Salesforce:
    return plain(sandbox, **{"login_url": sandbox.https_url, "ca_file": sandbox.ca_file, **changes})


class _OverTheWire(SalesforcePort):
    @pytest.fixture(autouse=True)
    def _org(self, sandbox: LocalSalesforce) -> None:
        self.sandbox = sandbox

    async def seed(self, port: Any, object_: str, **fields: Any) -> str:
        return await seeded(self.sandbox, object_, **fields)


class TestPlain(_OverTheWire):
    @pytest_asyncio.fixture
    async def port(self, sandbox: LocalSalesforce) -> AsyncIterator[Client]:
        async with Session(plain(sandbox)) as session:
            yield Client(session, Describer(plain(sandbox), session))


class TestSecure(_OverTheWire):
    @pytest_asyncio.fixture
    async def port(self, sandbox: LocalSalesforce) -> AsyncIterator[Client]:
        async with Session(secure(sandbox)) as session:
            yield Client(session, Describer(secure(sandbox), session))


async def upsert(session: Session, config: settings.Salesforce, customer: str = "cus_1") -> None:
    (answer,) = await Client(session, Describer(config, session)).upsert("Account", ID, [account(customer)])
    assert answer.error is None


async def test_calls_at_once_share_one_login(sandbox: LocalSalesforce) -> None:
    config = plain(sandbox)
    async with Session(config) as session:
        await asyncio.gather(*(upsert(session, config, f"cus_{n}") for n in range(10)))
        assert logins(sandbox) == 1
        sandbox.org.faults.arm(Fault(do="expire-tokens"))
        await asyncio.gather(*(upsert(session, config, f"cus_{n}") for n in range(10)))
    assert logins(sandbox) == 2


def logins(sandbox: LocalSalesforce) -> int:
    return sum(n for (operation, _), n in sandbox.org.calls.items() if operation == "login")


async def test_bulks_own_word_for_an_expired_token_is_understood(sandbox: LocalSalesforce) -> None:
    config = plain(sandbox)
    async with Session(config) as session:
        client = Client(session, Describer(config, session))
        sandbox.org.faults.arm(
            Fault(
                do="answer",
                path="jobs/ingest",
                status=400,
                code="InvalidSessionId",
                message="Invalid session id",
            )
        )
        assert (await client.create_job("Account", ID)).startswith("750")
    assert logins(sandbox) == 2


async def test_a_token_that_is_refused_twice_is_a_login_error(sandbox: LocalSalesforce) -> None:
    config = plain(sandbox)
    async with Session(config) as session:
        sandbox.org.faults.arm(
            Fault(
                do="answer",
                path="composite",
                times=2,
                status=401,
                code="INVALID_SESSION_ID",
                message="expired",
            )
        )
        with pytest.raises(LoginError):
            await upsert(session, config)
        await upsert(session, config)


async def test_a_wrong_secret_is_a_login_error(sandbox: LocalSalesforce) -> None:
    config = plain(sandbox, client_secret=SecretStr("wrong"))
    async with Session(config) as session:
        with pytest.raises(LoginError) as refused:
            await upsert(session, config)
    assert "wrong" not in str(refused.value)


async def test_jwt_bearer_login() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    identity = Identity(jwt_public_key=public.decode())
    async with LocalSalesforce(identity=identity) as sandbox:
        config = secure(
            sandbox,
            client_secret=None,
            jwt_key=SecretStr(private.decode()),
            jwt_username=identity.username,
        )
        async with Session(config) as session:
            await upsert(session, config)


async def test_a_connection_that_breaks_is_tried_again_at_once(sandbox: LocalSalesforce) -> None:
    config = plain(sandbox)
    async with Session(config) as session:
        sandbox.org.faults.arm(Fault(do="drop", path="composite", times=2))
        await upsert(session, config)
        sandbox.org.faults.arm(Fault(do="drop", path="composite", times=3))
        with pytest.raises(RequestError) as refused:
            await upsert(session, config)
    assert (refused.value.kind, refused.value.status) == (Kind.REQUEST, 0)


async def test_no_answer_in_time_is_a_transient_request(sandbox: LocalSalesforce) -> None:
    config = plain(sandbox, timeout_seconds=1)
    async with Session(config) as session:
        await upsert(session, config)
        sandbox.org.faults.arm(Fault(do="delay", path="composite", seconds=60))
        with pytest.raises(RequestError) as refused:
            await upsert(session, config)
    assert (refused.value.kind, refused.value.code) == (Kind.REQUEST, "timeout")


async def test_nobody_listening_is_a_transient_request() -> None:
    async with LocalSalesforce() as sandbox:
        config = plain(sandbox)
    async with Session(config) as session:
        with pytest.raises(RequestError) as refused:
            await upsert(session, config)
    assert (refused.value.kind, refused.value.code) == (Kind.REQUEST, "no_connection")


async def test_the_quota_is_told_apart(sandbox: LocalSalesforce) -> None:
    config = plain(sandbox)
    async with Session(config) as session:
        await upsert(session, config)
        sandbox.org.calls_used.set(100_000)
        with pytest.raises(RequestError) as refused:
            await upsert(session, config)
    assert refused.value.kind is Kind.QUOTA
    assert session.usage is not None


async def test_describe_through_the_library_logs_in_again(sandbox: LocalSalesforce) -> None:
    config = secure(sandbox)
    async with Session(config) as session:
        describer = Describer(config, session)
        assert await describer.describe("Account") is not None
        sandbox.org.faults.arm(Fault(do="expire-tokens"))
        assert await describer.describe("Contact") is not None
    assert logins(sandbox) == 2


async def test_pages_of_a_query_are_followed(sandbox: LocalSalesforce) -> None:
    sandbox.org.options = sandbox.org.options.changed({"query_page_rows": 200})
    config = plain(sandbox)
    async with Session(config) as session:
        client = Client(session, Describer(config, session))
        for first in range(0, 450, 150):
            await client.upsert(
                "Account", ID, [account(f"cus_{n}", Name="Same") for n in range(first, first + 150)]
            )
        (records,) = await client.query(["SELECT Id FROM Account WHERE Name IN ('same')"])
    assert len({record["Id"] for record in records}) == 450
