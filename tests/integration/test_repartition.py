"""From a cluster with four partitions to one with six: keys move, and nothing is forgotten or told again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stream.kafka.batches import Record, partition_of
from stream.kafka.broker import Broker
from stream.kafka.scan import ranges, scan
from stream.records import REPLAY, decode_write
from stream.settings import Kafka
from stream.topics import PROJECTOR_GROUP, SALESFORCE_WRITES, STRIPE_EVENTS
from tests.integration.conftest import PARTITIONS
from tests.integration.test_offsets import OLD, member, revstream
from tests.integration.test_projector import customer, projector, send
from tests.integration.test_writer import until

MORE = 6
CUSTOMERS = [f"cus_{n}" for n in range(12)]


def at(record: Record, partitions: int) -> Record:
    assert record.key is not None
    place = partition_of(record.key, partitions)
    return Record(record.topic, place, record.key, record.value, record.headers)


async def held(brokers: str, topic: str) -> list[Any]:
    kafka = Kafka(brokers=[brokers])
    return [record async for record in scan(kafka, topic, await ranges(kafka, topic))]


async def lag(brokers: str) -> int:
    """Records not worked on; some, while Kafka does not tell, since it makes its topic of offsets at the first
    question."""
    code, shown, _ = await revstream(brokers, "offsets", "show")
    return 1 if code else sum(one["lag"] for one in shown["partitions"])


async def test_keys_move_and_what_is_known_of_them_moves_along(topics: str, tmp_path: Path) -> None:
    await send(topics, *(at(customer(id_, OLD, name=f"Ada {id_}"), PARTITIONS) for id_ in CUSTOMERS))

    async def done() -> bool:
        return await lag(topics) == 0 and len(await held(topics, SALESFORCE_WRITES)) == 2 * len(CUSTOMERS)

    async with projector(topics, tmp_path / "old"):
        await until(done)
    new = Broker(tmp_path / "new" / "kafka")
    new.start()
    try:
        words = ("topics", "copy", "--from", topics)
        async with member(topics):
            code, _, error = await revstream(new.address, *words, partitions=MORE)
            assert (code, PROJECTOR_GROUP in error) == (3, True)
        code, _, error = await revstream(new.address, *words, partitions=MORE)
        assert (code, "records left" in error) == (5, True), "nobody has written what was asked for"
        await all_written(topics, tmp_path)
        code, told, error = await revstream(new.address, *words, partitions=MORE)
        assert (code, error) == (0, "")
        assert told["copied"][STRIPE_EVENTS] == len(CUSTOMERS)
        for record in await held(new.address, STRIPE_EVENTS):
            assert record.partition == partition_of(record.key, MORE)
        code, _, error = await revstream(new.address, *words, partitions=MORE)
        assert (code, "to be empty" in error) == (5, True)

        # The tables know the customers, in their new partitions; what was read before is not read again.
        await send(new.address, *(at(customer(id_, OLD - 9, name="older"), MORE) for id_ in CUSTOMERS))
        async with projector(new.address, tmp_path / "new", KAFKA_PARTITIONS=str(MORE)):

            async def told_again() -> bool:
                return len(await held(new.address, SALESFORCE_WRITES)) == 2 * len(CUSTOMERS)

            await until(told_again)
        for record in await held(new.address, SALESFORCE_WRITES):
            write = decode_write(record.value)
            assert record.partition == partition_of(write.account.encode(), MORE)
            assert write.version == OLD
            assert REPLAY not in record.headers
            if write.object == "Account":
                assert write.fields["Name"] == f"Ada {write.account}"
    finally:
        new.stop()


async def all_written(brokers: str, folder: Path) -> None:
    """As if a writer had done its work."""
    plan = str(folder / "plan.json")
    words = ("offsets", "plan", "--stage", "writer", "--to-latest", "--allow-clamp", "--out", plan)
    assert (await revstream(brokers, *words))[0] == 0
    assert (await revstream(brokers, "offsets", "apply", plan, "--yes"))[0] == 0
