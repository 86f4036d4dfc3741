"""Slack, mail, Chatter and the log against real servers on loopback; all of them pass the port's suite."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from stream.notify.chatter import Chatter
from stream.notify.log import Log
from stream.notify.mail import Mail
from stream.notify.port import Channel, Message, Parcel, Undelivered, Why
from stream.notify.slack import Slack
from stream.salesforce.session import Session
from stream.sandbox.ends import SlackEnd, SmtpEnd
from stream.sandbox.salesforce import Fault, LocalSalesforce, certificate
from stream.settings import CUSTOMER_ID_FIELD, Notify, Salesforce, SettingError
from tests.fakes.channel import FakeChannel
from tests.fakes.channel_port import TEXT, ChannelPort
from tests.fakes.notices import notice, parcel

MESSAGE = Message("Payment failed", TEXT)


class TestFake(ChannelPort):
    @pytest.fixture
    def far(self) -> FakeChannel:
        return FakeChannel()


class SlackFar:
    def __init__(self, end: SlackEnd) -> None:
        self.end = end
        self.channel: Channel = Slack(Notify.model_validate({"slack_webhook_url": end.url}))
        self.parcel = parcel("slack")

    def refuse(self, why: Why) -> None:
        self.end.refusals.append(why)

    async def vanish(self) -> None:
        await self.end.stop()

    async def got(self) -> list[str]:
        return self.end.texts


class TestSlack(ChannelPort):
    @pytest_asyncio.fixture
    async def far(self) -> AsyncIterator[SlackFar]:
        async with SlackEnd() as end:
            far = SlackFar(end)
            yield far
            await far.channel.close()

    async def test_it_is_asked_to_wait_as_long_as_slack_says(self, far: SlackFar) -> None:
        far.refuse(Why.LATER)
        assert (await self.refusal(far)).after == 0

    async def test_links_are_not_unfolded(self, far: SlackFar) -> None:
        await self.send(far)
        assert far.end.bodies == [{"text": TEXT, "unfurl_links": False, "unfurl_media": False}]

    async def test_a_silent_slack_may_have_taken_it(self, far: SlackFar) -> None:
        far.end.silent = True
        slow = Notify.model_validate({"slack_webhook_url": far.end.url, "timeout_seconds": 1})
        channel = Slack(slow)
        with pytest.raises(Undelivered) as refused:
            await channel.send(far.parcel, MESSAGE)
        assert refused.value.why is Why.UNSURE
        await channel.close()

    async def test_a_page_that_is_not_slacks_is_no_delivery(self, far: SlackFar) -> None:
        far.end.answer = "<html>log in</html>"
        assert (await self.refusal(far)).why is Why.NEVER


class MailFar:
    def __init__(self, end: SmtpEnd, **more: Any) -> None:
        self.end = end
        told = {"smtp_host": "127.0.0.1", "smtp_port": end.port, "smtp_security": "none"}
        self.channel: Channel = Mail(Notify.model_validate(told | {"mail_from": "us@x.example"} | more))
        self.parcel = parcel("mail", address=("a@x.example", "b@x.example"))

    def refuse(self, why: Why) -> None:
        self.end.refusals.append(why)

    async def vanish(self) -> None:
        await self.end.stop()

    async def got(self) -> list[str]:
        return self.end.texts()


class TestMail(ChannelPort):
    @pytest_asyncio.fixture
    async def far(self) -> AsyncIterator[MailFar]:
        async with SmtpEnd() as end:
            yield MailFar(end)

    async def test_one_mail_goes_to_all_and_says_what_it_is(self, far: MailFar) -> None:
        await self.send(far)
        ((envelope, mail),) = far.end.mails
        assert envelope.mail_from == "us@x.example"
        assert envelope.rcpt_tos == ["a@x.example", "b@x.example"]
        assert (mail["Subject"], mail["Auto-Submitted"]) == ("Payment failed", "auto-generated")
        assert mail["Message-ID"].endswith("@x.example>")
        assert mail["Date"].datetime is not None

    async def test_a_recipient_who_is_refused_does_not_keep_it_from_others(self, far: MailFar) -> None:
        far.end.refused_recipients = {"a@x.example"}
        await self.send(far)
        assert [envelope.rcpt_tos for envelope, _ in far.end.mails] == [["b@x.example"]]
        far.end.refused_recipients.add("b@x.example")
        assert (await self.refusal(far)).why is Why.NEVER
        assert len(far.end.mails) == 1

    async def test_it_logs_in_over_tls_that_it_trusts(self, tmp_path: Path) -> None:
        files = certificate.ensure(tmp_path)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(files.certificate, files.key)
        login = {"smtp_security": "starttls", "smtp_username": "me", "smtp_password": "secret"}
        async with SmtpEnd(tls) as end:
            far = MailFar(end, **login, smtp_ca_file=files.ca)
            await self.send(far)
            assert TEXT in (await far.got())[0]
            wrong = MailFar(end, **login | {"smtp_password": "guess"}, smtp_ca_file=files.ca)
            assert (await self.refusal(wrong)).code == "SMTP 535"
            assert (await self.refusal(MailFar(end, **login))).why is not Why.UNSURE  # not a CA we know
            assert len(await far.got()) == 1

    def test_a_login_without_tls_is_refused_at_start(self) -> None:
        with pytest.raises(SettingError, match="NOTIFY_SMTP_SECURITY: a login needs TLS"):
            Mail(Notify(smtp_host="x", smtp_security="none", smtp_username="me"))


class ChatterFar:
    def __init__(self, org: LocalSalesforce, session: Session) -> None:
        self.salesforce = org
        self.channel: Channel = Chatter(session, Notify())
        self.parcel: Parcel = parcel("chatter", address=("cus_1",))

    def refuse(self, why: Why) -> None:
        faults = {
            Why.LATER: Fault("answer", operation="chatter-post", status=503, code="SERVER_UNAVAILABLE"),
            Why.NEVER: Fault("answer", operation="chatter-post", status=403, code="API_DISABLED_FOR_ORG"),
            Why.UNSURE: Fault("drop-after", operation="chatter-post"),
        }
        self.salesforce.org.faults.arm(faults[why])

    async def vanish(self) -> None:
        await self.salesforce.stop()

    async def got(self) -> list[str]:
        return [str(row["Body"]) for row in self.rows("FeedItem")]

    def rows(self, name: str) -> list[dict[str, Any]]:
        return [dict(row) for row in self.salesforce.org.store.rows(name)]

    async def create(self, name: str, **fields: Any) -> str:
        org = self.salesforce.org
        entity = org.schema.entities[name]
        saved, locked = await org.transact(lambda dml: dml.insert(entity, fields))
        org.locks.free(locked)
        return saved.identifier


class TestChatter(ChannelPort):
    @pytest_asyncio.fixture
    async def far(self) -> AsyncIterator[ChatterFar]:
        async with LocalSalesforce() as org:
            config = Salesforce.model_validate(
                {"login_url": org.url, "client_id": "sandbox", "client_secret": "sandbox"}
            )
            async with Session(config) as session:
                far = ChatterFar(org, session)
                await far.create("Account", Name="Acme", **{CUSTOMER_ID_FIELD: "cus_1"})
                yield far

    async def test_it_is_on_the_account_and_names_the_owner(self, far: ChatterFar) -> None:
        await self.send(far)
        (account,), (post,) = far.rows("Account"), far.rows("FeedItem")
        assert post["ParentId"] == account["Id"]
        assert post["Body"] == f"@Integration\n{TEXT}"

    async def test_an_inactive_owner_is_not_named(self, far: ChatterFar) -> None:
        user = {"LastName": "Gone", "Username": "g@x.example", "Email": "g@x.example"}
        owner = await far.create("User", **user)
        await far.create("Account", Name="B", OwnerId=owner, **{CUSTOMER_ID_FIELD: "cus_2"})
        org = far.salesforce.org
        _, locked = await org.transact(
            lambda dml: dml.update(org.schema.entities["User"], owner, {"IsActive": False})
        )
        org.locks.free(locked)
        await far.channel.send(parcel("chatter", address=("cus_2",)), MESSAGE)
        assert await far.got() == [TEXT]

    async def test_an_account_that_is_not_there_yet_may_come(self, far: ChatterFar) -> None:
        far.parcel = parcel("chatter", address=("cus_'9",))
        refused = await self.refusal(far)
        assert (refused.why, refused.code) == (Why.LATER, "the Account is not in Salesforce")


async def test_the_log_tells_ids_and_nothing_personal(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await Log().send(parcel("log"), MESSAGE)
    await Log().send(parcel("log", notice("a"), notice("b"), notice("c")), MESSAGE)
    assert [record.getMessage() for record in caplog.records] == [
        "Notice in_1:failed: payment_failed, customer cus_1, event evt_in_1:failed.",
        "3 notices: a and 2 more.",
    ]
