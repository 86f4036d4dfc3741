"""The reference work on Quix Streams; arguments: BROKERS NAME SOURCE OUTPUT PARTITIONS.

It runs in an environment of its own (`make bench` makes it), so it imports nothing of ours but the work.
"""

from __future__ import annotations

import sys
import tempfile
from typing import Any

from quixstreams import Application, State
from quixstreams.models import TopicConfig

from tests.bench.work import latest


def main(brokers: str, name: str, source: str, output: str, partitions: int, folder: str) -> None:
    """State in RocksDB with its changelog, as Quix has it, and one record out for every event."""
    app = Application(
        brokers,
        consumer_group=name,
        auto_offset_reset="earliest",
        state_dir=folder,
        producer_extra_config={"compression.type": "lz4", "partitioner": "murmur2_random"},
        loglevel="ERROR",
    )
    config = TopicConfig(num_partitions=partitions, replication_factor=1)
    raw: Any = {"key_deserializer": "bytes", "value_deserializer": "bytes", "config": config}
    sink = app.topic(output, key_serializer="bytes", value_serializer="bytes", config=config)

    def project(body: bytes, state: State) -> bytes:
        kept = latest(state.get_bytes("latest"), body)
        state.set_bytes("latest", kept)
        return kept

    app.dataframe(app.topic(source, **raw)).apply(project, stateful=True).to_topic(sink)
    app.run()


if __name__ == "__main__":
    brokers, name, source, output, partitions = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        main(brokers, name, source, output, int(partitions), folder)
