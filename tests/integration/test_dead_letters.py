"""`revstream dead-letters` on real Kafka."""

from __future__ import annotations

from pathlib import Path

import msgspec

from stream import deadletter
from stream.kafka.batches import Record
from stream.records import REPLAY, EventRef, RowError, Write, encode
from stream.topics import DEAD_LETTERS, SALESFORCE_WRITES, STRIPE_EVENTS
from tests.fakes.writes import account
from tests.integration.test_offsets import OLD, revstream
from tests.integration.test_projector import customer, read, send

PLAIN = (("trace", b"1"),)


def put(write: Write) -> Record:
    return Record(SALESFORCE_WRITES, 0, write.key.encode(), encode(write), PLAIN)


def letter(write: Write, offset: int, code: str) -> Record:
    headers = deadletter.headers(
        PLAIN,
        topic=SALESFORCE_WRITES,
        partition=0,
        offset=offset,
        stage="write",
        error=RowError(code, "told by Salesforce", ("Name",)),
    )
    return Record(DEAD_LETTERS, 0, write.key.encode(), encode(write), tuple(headers))


async def test_listed_redriven_unless_superseded_and_discarded(topics: str) -> None:
    first, second, third = account("cus_1", 1), account("cus_2", 1), account("cus_3", 1)
    newer = account("cus_2", 2, Name="newer")
    await send(topics, *(put(write) for write in (first, second, third, newer)))
    await send(
        topics,
        letter(first, 0, "STRING_TOO_LONG"),
        letter(second, 1, "STRING_TOO_LONG"),
        letter(third, 2, "INVALID_EMAIL_ADDRESS"),
    )

    code, told, _ = await revstream(topics, "dead-letters", "list")
    assert (code, told["count"]) == (0, 3)
    assert told["causes"] == {"STRING_TOO_LONG": 2, "INVALID_EMAIL_ADDRESS": 1}
    code, told, _ = await revstream(topics, "dead-letters", "show", "0:2")
    assert (told["letter"]["key"], told["letter"]["fields"]) == ("Account:cus_3", "Name")
    assert "content" not in told

    words = ("--cause", "STRING_TOO_LONG", "--reason", "field is longer now", "--yes")
    code, told, _ = await revstream(topics, "dead-letters", "redrive", *words)
    assert (code, told) == (0, {"redriven": 1, "superseded": 1})
    sent = (await read(topics, SALESFORCE_WRITES, 5))[4:]
    assert [(record.key, record.value) for record in sent] == [(b"Account:cus_1", encode(first))]
    assert tuple(sent[0].headers) == (*PLAIN, REPLAY)

    code, told, _ = await revstream(topics, "dead-letters", "redrive", *words)
    assert (code, told) == (0, {"redriven": 0, "superseded": 0}), "what is done with stays so"

    these = ("0:2", "--reason", "a test customer", "--yes")
    assert (await revstream(topics, "dead-letters", "discard", *these))[1] == {"discarded": 1}
    _, told, _ = await revstream(topics, "dead-letters", "list")
    assert told["count"] == 0
    _, told, _ = await revstream(topics, "dead-letters", "list", "--all")
    assert sorted(one["closed"] for one in told["letters"]) == ["discarded", "redriven", "superseded"]


async def test_nothing_is_sent_again_by_accident(topics: str) -> None:
    code, _, error = await revstream(topics, "dead-letters", "redrive", "--reason", "all", "--yes")
    assert code == 2
    assert "choose them" in error
    code, _, error = await revstream(topics, "dead-letters", "discard", "0:9", "--reason", "x", "--yes")
    assert code == 2
    assert "no dead letter 0:9" in error


async def test_the_events_that_letters_came_of_are_replayed(topics: str, tmp_path: Path) -> None:
    events = [customer(f"cus_{n}", OLD) for n in (1, 2, 3)]
    await send(topics, *events)
    first, _, third = (dict(event.headers)["id"].decode() for event in events)

    def write(customer: str, event: str) -> Write:
        ref = EventRef(event, "customer.created", OLD, 1)
        return msgspec.structs.replace(account(customer), events=(ref,))

    undecodable = deadletter.headers(
        events[2].headers,
        topic=STRIPE_EVENTS,
        partition=0,
        offset=2,
        stage="decode",
        error=RowError("undecodable", "no JSON"),
    )
    await send(
        topics,
        letter(write("cus_1", first), 0, "STRING_TOO_LONG"),
        letter(write("cus_9", "evt_gone"), 1, "STRING_TOO_LONG"),
        Record(DEAD_LETTERS, 0, b"cus_3", events[2].value, tuple(undecodable)),
    )
    words = ("replay", "--dead-letters", "--progress", str(tmp_path / "progress.json"))
    code, told, _ = await revstream(topics, *words, "--dry-run")
    assert (code, told["events"], told["letters"], told["sent"]) == (0, 2, 2, 0)
    code, told, _ = await revstream(topics, *words, "--yes")
    assert (code, told["sent"]) == (0, 2)
    again = (await read(topics, STRIPE_EVENTS, 5))[3:]
    assert [dict(record.headers)["id"].decode() for record in again] == [first, third]
    assert all(REPLAY in record.headers for record in again)
    _, told, _ = await revstream(topics, "dead-letters", "list", "--all")
    assert {one["offset"]: one["closed"] for one in told["letters"]} == {
        0: "replayed",
        1: None,
        2: "replayed",
    }
    code, told, _ = await revstream(topics, *words, "--yes")
    assert (code, told["events"], told["letters"]) == (0, 0, 0), "what is done with stays so"
