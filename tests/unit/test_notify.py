"""The notifier's rules: routes, digests, words, progress, and what an outlet does with refusals."""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from stream.notify import routes
from stream.notify.digest import Minute, pack
from stream.notify.notifier import Desk, _Listener
from stream.notify.outlet import Outlet, pause
from stream.notify.port import Item, Parcel, Why
from stream.notify.progress import Progress
from stream.notify.templates import FACTS, OURS, Templates
from stream.records import Notice
from stream.settings import Notify, SettingError, Settings
from tests.fakes.channel import FakeChannel
from tests.fakes.notices import notice, parcel

MAIL = {"smtp_host": "mail.example", "mail_from": "us@x.example", "mail_to": ["cs@x.example"]}
SLACK = {"slack_webhook_url": "https://hooks.slack.com/services/x"}


def notify(**told: Any) -> Notify:
    return Notify.model_validate(told)


def sent_to(settings: Notify, about: Notice) -> dict[str, tuple[str, ...]]:
    parcels = routes.parcels(Item(about, 0, 0), routes.routes(settings))
    return {each.channel: each.address for each in parcels}


# Routes


def test_without_a_route_all_goes_to_what_is_set_up_and_else_to_the_log() -> None:
    assert sent_to(notify(), notice()) == {"log": ()}
    assert sent_to(notify(**SLACK), notice()) == {"slack": ()}
    every = notify(**SLACK, **MAIL, chatter=True)
    assert sent_to(every, notice()) == {"slack": (), "mail": ("cs@x.example",), "chatter": ("cus_1",)}


def test_routes_add_up_and_several_to_mail_are_one() -> None:
    settings = notify(
        **SLACK,
        **MAIL,
        routes=[
            {"workflows": ["churn"], "channels": ["mail"], "mail_to": ["boss@x.example", "cs@x.example"]},
            {"least_amount": 1000, "channels": ["slack", "mail"]},
            {"segments": ["enterprise"], "channels": ["log"]},
            {"currency": "JPY", "channels": ["slack"]},
        ],
    )
    assert sent_to(settings, notice(workflow="churn")) == {"mail": ("boss@x.example", "cs@x.example")}
    large = notice(workflow="churn", amount="1000.00", currency="EUR", segment="enterprise")
    assert sent_to(settings, large) == {
        "mail": ("boss@x.example", "cs@x.example"),
        "slack": (),
        "log": (),
    }
    assert sent_to(settings, notice(amount="999.99", currency="JPY")) == {"slack": ()}
    assert sent_to(settings, notice(amount="999.99", currency="EUR")) == {}


@pytest.mark.parametrize("amount", [None, "", "much", "NaN", "Infinity"])
def test_what_is_no_amount_is_not_over_the_least_one(amount: str | None) -> None:
    settings = notify(routes=[{"least_amount": 0}])
    assert sent_to(settings, notice(amount=amount)) == {}


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ({"routes": [{"channels": ["slack"]}]}, "NOTIFY_ROUTES: route 1 goes to slack, which is not set up"),
        ({"smtp_host": "x"}, "NOTIFY_MAIL_FROM: mail needs a sender"),
        ({**MAIL, "mail_to": []}, "NOTIFY_MAIL_TO: mail has no recipient"),
        ({**MAIL, "mail_to": ["a@x, b@y"]}, "'a@x, b@y' is no mail address"),
        ({**MAIL, "mail_from": "nobody"}, "'nobody' is no mail address"),
        ({**MAIL, "mail_to": ["a@x\nBcc: b@y"]}, "is no mail address"),
    ],
)
def test_half_a_channel_is_named(told: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingError, match=problem):
        routes.routes(notify(**told))


def test_what_is_replayed_or_old_is_not_told() -> None:
    about = notice(created=1_000_000)
    now = 1_000_000 + 72 * 3600
    assert routes.unwanted(about, False, now, notify()) is None
    assert routes.unwanted(about, False, now + 1, notify()) == "stale"
    assert routes.unwanted(about, True, now, notify()) == "replayed"
    assert routes.unwanted(about, True, now, notify(replayed=True)) is None


# Digests


def test_while_there_is_room_each_goes_by_itself_and_then_one_for_each_address() -> None:
    waiting = [parcel("mail", notice(str(n)), address=("ab"[n % 2],)) for n in range(5)]
    assert pack(waiting, 5) == waiting
    assert pack(waiting, 0) == []
    packed = pack(waiting, 4)
    assert [each.address for each in packed] == [("a",), ("b",)]
    assert [[item.notice.id for item in each.items] for each in packed] == [["0", "2", "4"], ["1", "3"]]


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(0, 30))
def test_nothing_is_lost_or_doubled_in_packing(addresses: list[str], room: int) -> None:
    waiting = [parcel("mail", notice(str(n)), address=(to,)) for n, to in enumerate(addresses)]
    packed = pack(waiting, room)
    told = sorted((each.address[0], item.notice.id) for each in packed for item in each.items)
    assert told == (sorted((to, str(n)) for n, to in enumerate(addresses)) if room else [])
    assert all(each.items for each in packed)


def test_a_minute_has_room_again_when_it_is_over() -> None:
    minute = Minute(2)
    assert minute.room(100) == 2
    minute.spend(100)
    minute.spend(130)
    assert (minute.room(159.9), minute.left(130)) == (0, 30)
    assert (minute.room(160), minute.left(160)) == (2, 0)
    minute.spend(170)
    assert minute.room(229) == 1


# Progress


CHANNELS = ("slack", "mail", "chatter")


@given(st.lists(st.sets(st.sampled_from(CHANNELS)), max_size=20), st.randoms())
def test_what_is_committed_is_done_and_all_is_committed_in_the_end(read: list[set[str]], random: Any) -> None:
    progress = Progress()
    for offset, channels in enumerate(read):
        progress.begin(0, offset, channels)
    work = [(offset, channel) for offset, channels in enumerate(read) for channel in sorted(channels)]
    random.shuffle(work)
    while work:
        reached = progress.commits().get(0, 0)
        assert all(offset >= reached for offset, _ in work)
        progress.committed(progress.commits())
        progress.done(0, *work.pop())
    assert progress.count == 0
    assert progress.commits().get(0, len(read)) == len(read)
    progress.committed(progress.commits())
    assert progress.commits() == {}


def test_a_channel_that_says_so_twice_does_not_speak_for_another() -> None:
    progress = Progress()
    progress.begin(0, 0, ("slack", "mail"))
    progress.done(0, 0, "slack")
    progress.done(0, 0, "slack")
    assert progress.commits() == {0: 0}
    progress.done(0, 0, "mail")
    assert progress.commits() == {0: 1}


def test_a_partition_that_went_away_is_not_committed() -> None:
    progress = Progress()
    progress.begin(1, 7, ("slack",))
    progress.forget([1])
    progress.done(1, 7, "slack")
    assert progress.commits() == {}


# Words


WORKFLOWS = sorted({path.name.partition(".")[0] for path in OURS.iterdir()} - {"digest"})
FULL = notice(facts=dict.fromkeys(FACTS, "ϕ & <co>"), amount="1234567.50", currency="EUR")


@pytest.mark.parametrize("workflow", [*WORKFLOWS, "unheard_of"])
def test_every_workflow_reads_well_with_all_facts_and_with_none(workflow: str) -> None:
    templates = Templates(notify())
    for facts in (FULL.facts, {}):
        about = notice(workflow=workflow, facts=facts, amount=FULL.amount, currency=FULL.currency)
        for channel in ("slack", "mail", "chatter"):
            message = templates.render(parcel(channel, about))
            assert "1,234,567.50 EUR" in message.text or facts
            assert "https://dashboard.stripe.com/customers/cus_1" in message.text
            assert "None" not in message.text
            assert "\n\n\n" not in message.text
            assert bool(message.subject) is (channel == "mail")


def test_what_customers_typed_stays_words() -> None:
    templates = Templates(notify())
    name = "<!channel> & Co\r\nBcc: all@x.example\u202e" + "x" * 1000
    about = notice(facts={"customer": name}, account="acct_1/cus_1")
    slack = templates.render(parcel("slack", about)).text
    assert "Payment failed: &lt;!channel&gt; &amp; Co Bcc: all@x.examplexxx" in slack
    assert "<" not in slack
    assert "https://dashboard.stripe.com/acct_1/customers/cus_1" in slack
    mail = templates.render(parcel("mail", about))
    assert mail.subject.startswith("Payment failed: <!channel> & Co Bcc: all@x.example")
    assert len(mail.subject) < 400


def test_a_digest_lists_some_and_counts_the_rest() -> None:
    templates = Templates(notify())
    many = [notice(str(n), facts={"customer": f"A & {n}"}) for n in range(23)]
    text = templates.render(parcel("slack", *many)).text
    assert text.startswith("23 notices at once:\n\n- Payment failed: A &amp; 0\n- ")
    assert text.count("\n- Payment failed") == 20
    assert text.endswith("\n- and 3 more")
    assert templates.render(parcel("mail", *many)).subject == "23 notices at once"


def test_a_folder_replaces_and_adds(tmp_path: Path) -> None:
    (tmp_path / "churn.text.j2").write_text("Farewell, {{ customer }}: <{{ dashboard }}|look>")
    (tmp_path / "upgrade.text.j2").write_text("{% include '_head.j2' %} up")
    (tmp_path / "_head.j2").write_text("Hurrah:")
    templates = Templates(notify(templates=tmp_path))
    text = templates.render(parcel("slack", notice(workflow="churn"))).text
    assert text == "Farewell, Acme: <https://dashboard.stripe.com/customers/cus_1|look>"
    assert templates.render(parcel("chatter", notice(workflow="upgrade"))).text == "Hurrah: up"
    assert templates.render(parcel("slack", notice())).text.startswith("Payment failed: Acme")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("churn.text.j2", "a\n{{ customer", "churn.text.j2, line 2 is broken"),
        ("churn.text.j2", "{{ customer.upper.nothing() }}", "churn.text.j2 is broken"),
        ("churn.text.j2", "{{ customer + 1 }}", "churn.text.j2 is broken"),
        ("churn.text.j2", "{{ ''.__class__.__mro__ }}", "churn.text.j2 is broken: access to attribute"),
        ("churn.text.j2", "{% include 'none' %}", "churn.text.j2 is broken"),
        ("churn.mail.j2", "no subject\n\ntext", "churn.mail.j2 is broken: a mail begins with a line"),
        ("churn.mail.j2", "Subject: x", "churn.mail.j2 is broken: a mail begins with a line"),
        ("churn.txt", "x", "churn.txt ends neither in"),
    ],
)
def test_a_broken_template_is_named_at_start(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SettingError) as error:
        Templates(notify(templates=tmp_path))
    assert str(error.value).startswith(f"NOTIFY_TEMPLATES: {told}")


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"NOTIFY_TEMPLATES: .* is no folder"):
        Templates(notify(templates=tmp_path / "none"))


# An outlet


@cache
def defaults() -> Templates:
    return Templates(notify())


class Claims:
    """Marks in memory."""

    def __init__(self) -> None:
        self.marked: set[str] = set()

    async def claim(self, parcel: Parcel) -> tuple[Item, ...]:
        first = {item.notice.id: item for item in reversed(parcel.items)}
        ours = tuple(item for id_, item in first.items() if id_ not in self.marked)
        self.marked |= first.keys()
        return ours[::-1]


class Working:
    """An outlet on a fake channel, whose pauses take no time."""

    def __init__(self, **told: Any) -> None:
        self.channel = FakeChannel()
        self.claims = Claims()
        self.done: list[str] = []
        self.paused: list[float] = []
        settings = notify(**told)
        self.outlet = Outlet(self.channel, self.claims, defaults(), settings, self._note, sleep=self._sleep)
        self._enough: tuple[int, asyncio.Event] = (0, asyncio.Event())

    def _note(self, item: Item, channel: str) -> None:
        self.done.append(item.notice.id)
        if len(self.done) >= self._enough[0]:
            self._enough[1].set()

    async def _sleep(self, seconds: float) -> None:
        self.paused.append(seconds)
        await asyncio.sleep(0)

    async def work(self, *notices: Notice) -> None:
        """Puts the notices in, and runs until each is done."""
        self._enough = (len(self.done) + len(notices), asyncio.Event())
        for each in notices:
            self.outlet.put(parcel("slack", each))
        running = asyncio.create_task(self.outlet.run())
        await asyncio.wait_for(self._enough[1].wait(), 30)
        self.outlet.stop()
        await running


async def test_what_was_told_is_not_told_again() -> None:
    working = Working()
    await working.work(notice("a"), notice("b"), notice("a"))
    assert [each.items[0].notice.id for each, _ in working.channel.sent] == ["a", "b"]
    assert working.done == ["a", "b", "a"]


async def test_a_refusal_for_now_is_tried_again_a_number_of_times() -> None:
    working = Working(attempts=3)
    working.channel.refusals = [Why.LATER, Why.LATER]
    await working.work(notice("a"))
    assert (working.channel.tries, len(working.channel.sent), len(working.paused)) == (3, 1, 2)


async def test_a_channel_that_is_down_is_given_up_and_the_next_notice_tried() -> None:
    working = Working(attempts=2)
    working.channel.refusals = [Why.LATER, Why.LATER]
    await working.work(notice("a"), notice("b"))
    assert [each.items[0].notice.id for each, _ in working.channel.sent] == ["b"]
    assert working.done == ["a", "b"]


@pytest.mark.parametrize("why", [Why.NEVER, Why.UNSURE])
async def test_what_may_have_arrived_or_never_will_is_not_sent_again(why: Why) -> None:
    working = Working()
    working.channel.refusals = [why]
    await working.work(notice("a"))
    assert working.channel.tries == 1


@given(
    ids=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=12),
    refusals=st.lists(st.sampled_from(Why), max_size=12),
    per_minute=st.integers(1, 12),
)
def test_nobody_is_told_twice_whatever_is_refused(ids: str, refusals: list[Why], per_minute: int) -> None:
    async def play() -> None:
        working = Working(per_minute=per_minute)
        working.channel.refusals = list(refusals)
        with (
            patch.object(working.outlet, "_idle", working._sleep),
            patch.object(working.outlet._minute, "spend", lambda now: None),
        ):
            await working.work(*map(notice, ids))
        told = [item.notice.id for each, _ in working.channel.sent for item in each.items]
        assert len(told) == len(set(told))
        assert sorted(working.done) == sorted(ids)
        if not refusals:
            assert set(told) == set(ids)

    asyncio.run(play())


async def test_what_a_library_raises_does_not_end_the_outlet(monkeypatch: pytest.MonkeyPatch) -> None:
    working = Working()
    send = working.channel.send
    broken = [RuntimeError("of a library")]

    async def fails_once(*given: Any) -> None:
        if broken:
            raise broken.pop()
        await send(*given)

    monkeypatch.setattr(working.channel, "send", fails_once)
    await working.work(notice("a"), notice("b"))
    assert [each.items[0].notice.id for each, _ in working.channel.sent] == ["b"]


async def test_a_burst_is_one_message() -> None:
    working = Working(per_minute=3)
    await working.work(*(notice(str(n)) for n in range(4)))
    ((gathered, message),) = working.channel.sent
    assert [item.notice.id for item in gathered.items] == ["0", "1", "2", "3"]
    assert message.text.startswith("4 notices at once")


async def test_when_the_minute_is_full_what_comes_waits_for_the_next() -> None:
    working = Working(per_minute=1)

    async def a_minute_passes(seconds: float) -> None:
        working.paused.append(seconds)
        working.outlet._minute = Minute(1)

    working.outlet._sleep = a_minute_passes
    running = asyncio.create_task(working.work(notice("a")))
    await running
    working.outlet._stopping.clear()
    await working.work(notice("b"), notice("c"))
    assert [len(each.items) for each, _ in working.channel.sent] == [1, 2]
    assert len(working.paused) == 1
    assert 0 < working.paused[0] <= 60


def test_pauses_grow_and_have_an_end() -> None:
    assert 0.5 <= pause(1, None) <= 1.5
    assert 2 <= pause(3, None) <= 6
    assert pause(20, None) == 60
    assert pause(1, 7) == 7
    assert pause(1, 3600) == 60
    assert pause(1, 0) == 0


async def test_partitions_that_go_are_forgotten_though_kafka_does_not_take_the_last_commit() -> None:
    class Away:
        def __init__(self) -> None:
            self.desk = Desk(Settings(), ())

        async def commit(self) -> None:
            raise KafkaError("The coordinator does not answer.")

    source = Away()
    source.desk.progress.begin(3, 7)
    with pytest.raises(KafkaError):
        await _Listener(source).on_partitions_revoked([TopicPartition("revstream.notices", 3)])  # type: ignore[arg-type]
    assert source.desk.progress.commits() == {}
