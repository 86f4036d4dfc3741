"""The notifier on real Kafka, with a Slack and a mail server on loopback: each notice goes out once at most."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream import metrics, records
from stream.kafka.batches import BatchProducer, Record
from stream.listen import free_address
from stream.notify.marks import Marks
from stream.notify.notifier import notifier
from stream.records import Notice
from stream.sandbox.ends import SlackEnd, SmtpEnd
from stream.sandbox.salesforce import LocalSalesforce
from stream.settings import CUSTOMER_ID_FIELD, Kafka, SettingError, Settings, load
from stream.topics import NOTICES, NOTIFIER_GROUP
from tests.fakes.notices import notice, parcel

DEADLINE = 120.0


async def until(what: Callable[[], Any]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not what():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def tell(brokers: str, *found: Record) -> None:
    producer = BatchProducer({"bootstrap_servers": brokers})
    await producer.start()
    try:
        await producer.send(found)
    finally:
        await producer.stop()


def record(about: Notice, partition: int = 0, *headers: tuple[str, bytes]) -> Record:
    return Record(NOTICES, partition, about.account.encode(), records.encode(about), headers)


def settings(brokers: str, salesforce: str = "", **told: Any) -> Settings:
    return load(
        kafka={"brokers": [brokers], "session_timeout_seconds": 30},
        salesforce={"login_url": salesforce, "client_id": "sandbox", "client_secret": "sandbox"},
        notify={"metrics_listen": free_address(), **told},
    )


@asynccontextmanager
async def running(config: Settings) -> AsyncIterator[asyncio.Task[None]]:
    """The stage, in this process, from when it is ready until the end of the block."""
    stop = asyncio.Event()
    task = asyncio.create_task(notifier(config, stop))
    async with aiohttp.ClientSession() as client:
        while True:
            assert not task.done(), task.exception()
            try:
                async with client.get(f"http://{config.notify.metrics_listen}/readyz") as answer:
                    if answer.status == 200:
                        break
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.02)
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait_for(task, DEADLINE)


async def until_committed(brokers: str, **offsets: int) -> None:
    """Waits until the group has committed these offsets: `p0=5` is 5 of partition 0."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, group_id=NOTIFIER_GROUP, enable_auto_commit=False)
    await consumer.start()
    try:
        async with asyncio.timeout(DEADLINE):
            for name, offset in offsets.items():
                while await consumer.committed(TopicPartition(NOTICES, int(name[1:]))) != offset:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
    finally:
        await consumer.stop()


async def go_back(brokers: str) -> None:
    """Has the group read every notice again."""
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, group_id=NOTIFIER_GROUP, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(NOTICES, partition) for partition in range(4)])
        await consumer.commit(dict.fromkeys(consumer.assignment(), 0))
    finally:
        await consumer.stop()


def count(channel: str, outcome: str) -> float:
    return float(metrics.NOTICES.labels(channel, outcome)._value.get())


async def test_of_two_who_want_to_tell_one_does(topics: str) -> None:
    kafka = Kafka(brokers=[topics])
    both = [Marks(kafka), Marks(kafka)]
    for marks in both:
        await marks.start()
    following = [asyncio.create_task(marks.run()) for marks in both]
    wanted = [parcel("slack", *(notice(f"{n}") for n in range(part, part + 20))) for part in range(0, 60, 20)]
    won = await asyncio.gather(*(marks.claim(each) for each in wanted for marks in both))
    told = [item.notice.id for each in won for item in each]
    assert sorted(told, key=int) == [f"{n}" for n in range(60)]
    twice = parcel("slack", notice("x"), notice("x"))
    assert [item.offset for item in await both[0].claim(twice)] == [0]
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    for marks in both:
        await marks.stop()

    later = Marks(kafka)
    await later.start()
    assert await later.claim(wanted[0]) == ()
    await later.stop()


async def test_each_notice_goes_out_once_and_nothing_of_a_replay(topics: str) -> None:
    before = {why: count("none", why) for why in ("replayed", "stale", "unreadable")}
    async with SlackEnd() as slack, SmtpEnd() as smtp:
        config = settings(
            topics,
            slack_webhook_url=slack.url,
            smtp_host="127.0.0.1",
            smtp_port=smtp.port,
            smtp_security="none",
            mail_from="us@x.example",
            mail_to=["cs@x.example"],
        )
        async with running(config):
            await tell(
                topics,
                record(notice("a")),
                record(notice("a")),
                record(notice("b"), 0, records.REPLAY),
                record(notice("c", created=1_000_000)),
                Record(NOTICES, 0, b"cus_1", b"{"),
                record(notice("d", facts={"customer": "D", "link": "https://x.example/i"}), 3),
            )
            await until(lambda: len(slack.texts) == len(smtp.mails) == 2)
            await until_committed(topics, p0=5, p3=1)
        assert sorted(text.partition("\n")[0] for text in slack.texts) == [
            *("Payment failed: Acme", "Payment failed: D"),
        ]
        assert sorted(str(mail["Subject"]) for _, mail in smtp.mails) == [
            *("Payment failed: Acme", "Payment failed: D"),
        ]
        assert {why: count("none", why) - before[why] for why in before} == dict.fromkeys(before, 1)

        await go_back(topics)
        async with running(config):
            await tell(topics, record(notice("e")))
            await until_committed(topics, p0=6, p3=1)
        assert (len(slack.texts), len(smtp.mails)) == (3, 3)


async def test_the_owner_finds_it_on_the_account(topics: str) -> None:
    async with LocalSalesforce() as org:
        account = {"Name": "Acme", CUSTOMER_ID_FIELD: "cus_1"}
        await org.org.transact(lambda dml: dml.insert(org.org.schema.entities["Account"], account))
        async with running(settings(topics, org.url, chatter=True)):
            await tell(topics, record(notice("a", amount="12", currency="EUR")), record(notice("a")))
            await until_committed(topics, p0=2)
        (post,) = org.org.store.rows("FeedItem")
        assert str(post["Body"]).startswith("@Integration\nPayment failed: Acme, 12 EUR\n")


async def test_chatter_without_an_org_names_the_setting(topics: str) -> None:
    with pytest.raises(SettingError, match="SALESFORCE_LOGIN_URL: no org is named"):
        await notifier(settings(topics, chatter=True), asyncio.Event())


async def test_a_channel_that_is_down_holds_up_no_other(topics: str) -> None:
    async with SlackEnd() as slack, SmtpEnd() as smtp:
        slack.down = True
        config = settings(
            topics,
            slack_webhook_url=slack.url,
            attempts=2,
            smtp_host="127.0.0.1",
            smtp_port=smtp.port,
            smtp_security="none",
            mail_from="us@x.example",
            mail_to=["cs@x.example"],
        )
        failed = count("slack", "failed")
        async with running(config):
            await tell(topics, record(notice("a")))
            await until(lambda: len(smtp.mails) == 1 and count("slack", "failed") == failed + 1)
            slack.down = False
            await tell(topics, record(notice("b")))
            await until(lambda: len(smtp.mails) == 2 and len(slack.texts) == 1)
            await until_committed(topics, p0=2)


async def test_a_broken_template_ends_it_at_once_with_its_name(topics: str, tmp_path: Path) -> None:
    (tmp_path / "churn.text.j2").write_text("{{ customer")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stream.notify"),
        env={**os.environ, "KAFKA_BROKERS": topics, "NOTIFY_TEMPLATES": str(tmp_path)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await asyncio.wait_for(process.communicate(), DEADLINE)
    assert process.returncode == 2
    assert told.startswith(b"revstream: NOTIFY_TEMPLATES: churn.text.j2, line 1 is broken: ")
    assert told.count(b"\n") == 1


async def test_killed_while_it_sends_it_does_not_send_again(topics: str, tmp_path: Path) -> None:
    async with SlackEnd() as slack:
        environment = {
            **os.environ,
            "KAFKA_BROKERS": topics,
            "KAFKA_SESSION_TIMEOUT_SECONDS": "6",
            "NOTIFY_METRICS_LISTEN": free_address(),
            "NOTIFY_SLACK_WEBHOOK_URL": slack.url,
            "NOTIFY_TIMEOUT_SECONDS": str(DEADLINE),
            "REVSTREAM_STATE_DIR": str(tmp_path),
        }
        slack.silent = True
        await tell(topics, record(notice("a")))
        for killed in (True, False):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "stream.notify", env=environment
            )
            try:
                if killed:
                    await until(lambda: slack.posts == 1)
                    process.kill()
                else:
                    slack.silent = False
                    await tell(topics, record(notice("b", facts={"customer": "B"})))
                    await until(lambda: slack.texts)
                    process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(process.wait(), DEADLINE)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        assert process.returncode == 0
        assert slack.posts == 2
        assert [text.partition("\n")[0] for text in slack.texts] == ["Payment failed: B"]
