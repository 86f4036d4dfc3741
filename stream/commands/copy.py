"""`revstream topics copy`: from a cluster with one partition count to one with another."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from stream import topics
from stream.commands import options
from stream.commands.told import (
    ACTIVE,
    DONE,
    EXIT_CODES,
    FAILED,
    REFUSED,
    Refusal,
    Standing,
    run,
    say_json,
    say_table,
)
from stream.kafka import repartition
from stream.kafka.broker import Broker, BrokerError
from stream.kafka.client import create_topics
from stream.kafka.lag import GROUPS
from stream.kafka.offsets import Offsets
from stream.settings import Kafka, Settings


@click.command(epilog=EXIT_CODES)
@click.option(
    "--from",
    "old",
    required=True,
    metavar="OLD",
    help="Brokers of the cluster that is left, or the folder of an embedded Kafka that does not run.",
)
@options.as_json
def copy(old: str, as_json: bool) -> None:
    """Copies what all stages remember to the cluster of KAFKA_BROKERS, which may have another partition count.

    Without KAFKA_BROKERS that is the embedded Kafka of REVSTREAM_STATE_DIR. The old cluster stays as it is, and is
    the way back. Both are reached with the same KAFKA_SECURITY_PROTOCOL.
    """
    standing = Standing("Nothing was copied.")
    folder = Path(old)
    brokers = [] if folder.is_dir() else old.split(",")

    async def work(settings: Settings) -> int:
        counts: dict[str, int] = {}
        with ExitStack() as stack:
            left = _reached(settings.kafka, brokers, folder, stack)
            own = settings.revstream.state_dir / "kafka"
            new = _reached(settings.kafka, settings.kafka.brokers, own, stack)
            await _check_done(left)
            await create_topics(new)
            if filled := await repartition.filled(new):
                raise Refusal(
                    REFUSED, f"The new cluster is to be empty; it has records of {', '.join(filled)}."
                )
            standing.told = (
                "Part was copied. The old cluster is as it was: delete the new one's topics and begin again."
            )
            await repartition.copy(left, new, counts.__setitem__)
        if as_json:
            say_json({"partitions": new.partitions, "copied": counts})
        else:
            say_table(("COPIED", "TOPIC"), [(count, topic) for topic, count in counts.items()])
        return DONE

    run(work, standing)


def _reached(kafka: Kafka, brokers: list[str], folder: Path, stack: ExitStack) -> Kafka:
    """The settings of a cluster; without brokers the embedded one of a folder is started for the time being."""
    if not brokers:
        broker = Broker(folder)
        stack.callback(broker.stop)
        try:
            broker.start()
        except BrokerError as error:
            raise Refusal(FAILED, str(error)) from error
        brokers = [broker.address]
    return Kafka(**{**kafka.model_dump(), "brokers": brokers})


async def _check_done(old: Kafka) -> None:
    """Refuses while somebody works on the old cluster, or has something left to do there."""
    async with Offsets(old) as cluster:
        for name, read in GROUPS.items():
            group = await cluster.group(name)
            if group.active:
                raise Refusal(ACTIVE, f"The group {name} has members on the old cluster: stop every stage.")
            positions = await cluster.positions(name, read)
            never = all(one.committed is None for one in positions)
            if name == topics.NOTIFIER_GROUP and never:
                continue
            if lag := sum(one.lag for one in positions):
                raise Refusal(
                    REFUSED,
                    f"The group {name} has {lag} records left on the old cluster: let it end its work first.",
                )
