"""The reference work on Faust as it comes; arguments: BROKERS NAME SOURCE OUTPUT PARTITIONS."""

from __future__ import annotations

import sys
import tempfile

import faust

from tests.bench.work import latest


def app(brokers: str, name: str, source: str, output: str, partitions: int, folder: str) -> faust.App:
    """An agent with a table, as Faust's own tutorial has it; only the web server is off."""
    app = faust.App(
        name,
        broker=f"kafka://{brokers}",
        store="memory://",
        datadir=folder,
        topic_partitions=partitions,
        consumer_auto_offset_reset="earliest",
        key_serializer="raw",
        value_serializer="raw",
        web_enabled=False,
    )
    events = app.topic(source, key_type=bytes, value_type=bytes)
    emitted = app.topic(output, key_type=bytes, value_type=bytes)
    table = app.Table("latest", key_type=bytes, value_type=bytes, partitions=partitions)

    @app.agent(events)  # type: ignore[untyped-decorator]
    async def project(stream: faust.Stream) -> None:
        async for key, body in stream.items():
            kept = latest(table.get(key), body)
            table[key] = kept
            await emitted.send(key=key, value=kept)

    return app


if __name__ == "__main__":
    brokers, name, source, output, partitions = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        worker = faust.Worker(app(brokers, name, source, output, int(partitions), folder), loglevel="ERROR")
        worker.execute_from_commandline()
