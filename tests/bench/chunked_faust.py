"""The reference work on our chunked Faust; arguments: BROKERS NAME SOURCE OUTPUT PARTITIONS."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from pathlib import Path

import faust
import uvloop
from faust.types import TP

from stream.kafka.batches import BatchProducer, Record
from stream.kafka.chunks import Chunk, ChunkSchema, chunks
from stream.kafka.client import options
from stream.kafka.worker import faust_app, run
from stream.settings import Kafka
from tests.bench.work import latest


async def main(brokers: str, name: str, source: str, output: str, partitions: int, folder: Path) -> None:
    """As the projector does it: all that follows from a chunk is durable before the chunk is acknowledged."""
    kafka = Kafka(brokers=[brokers], partitions=partitions)
    app = faust_app(name, kafka, folder)
    table = app.Table("latest", key_type=bytes, value_type=bytes, partitions=partitions)
    changelog = f"{name}-latest-changelog"
    producer = BatchProducer(options(kafka))

    async def work(partition: int, chunk: Chunk) -> None:
        changed: dict[bytes, bytes] = {}
        emitted = []
        for record in chunk:
            key = record.key
            kept = latest(changed.get(key) or table.data.get(key), record.value)
            changed[key] = kept
            emitted.append(Record(output, partition, key, kept))
        changes = [Record(changelog, partition, key, value) for key, value in changed.items()]
        sent = await producer.send([*changes, *emitted])
        table.data.update(changed)
        table.data.set_persisted_offset(TP(changelog, partition), sent[changelog, partition])

    @app.agent(app.topic(source, schema=ChunkSchema()))  # type: ignore[untyped-decorator]
    async def project(stream: faust.Stream) -> None:
        async for partition, chunk, done in chunks(stream):
            await work(partition, chunk)
            done()

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await producer.start()
    try:
        await run(app, stop)
    finally:
        await producer.stop()


if __name__ == "__main__":
    brokers, name, source, output, partitions = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(main(brokers, name, source, output, int(partitions), Path(folder)))
