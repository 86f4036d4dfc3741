"""The command `revstream`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import uvloop
from aiokafka.errors import KafkaError

from stream import stages
from stream.commands.backfill import backfill
from stream.commands.copy import copy
from stream.commands.deadletters import dead_letters
from stream.commands.offsets import offsets
from stream.commands.pause import pause, resume
from stream.commands.replay import replay
from stream.kafka.broker import BrokerError
from stream.kafka.client import create_topics
from stream.settings import SettingError, load
from stream.stage import FAILED, MISCONFIGURED, log_to_stderr
from stream.supervisor import ChildError
from stream.topics import TOPICS


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("revstream"), prog_name="revstream")
def main() -> None:
    """Keeps Salesforce true to Stripe.

    Settings come from the environment and an optional revstream.toml; see docs/reference/settings.md.
    """


main.add_command(offsets)
main.add_command(dead_letters)
main.add_command(replay)
main.add_command(backfill)
main.add_command(pause)
main.add_command(resume)


def _stage(module: str, *arguments: str) -> None:
    """Becomes the stage's process, so that signals and the exit code are its own."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606


@main.command()
def gateway() -> None:
    """Takes Stripe's webhooks and keeps them in Kafka."""
    _stage(stages.GATEWAY)


@main.command()
def projector() -> None:
    """Folds events into what Salesforce should hold."""
    _stage(stages.PROJECTOR)


@main.command()
def writer() -> None:
    """Writes to Salesforce in batches."""
    _stage(stages.WRITER)


@main.command()
def notifier() -> None:
    """Tells people by Slack, mail or Chatter."""
    _stage(stages.NOTIFIER)


@main.command()
@click.argument("event_file", type=click.Path(allow_dash=True))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def explain(event_file: str, as_json: bool) -> None:
    """Says what one event tells, the MRR before and after, and the records that would come of it.

    EVENT_FILE holds one event as Stripe sends it; - reads it from standard input. Nothing is written. Stripe is
    asked only for a price that the event does not tell, with STRIPE_API_KEY.
    """
    _stage("agents.explain", event_file, *(["--json"] if as_json else []))


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def rebuild(words: tuple[str, ...]) -> None:
    """Folds the tables anew from the log, and sends only the records that come out otherwise."""
    _stage("agents.rebuild", *words)


@main.group()
def topics() -> None:
    """The Kafka topics that the stages need."""


@topics.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def create(as_json: bool) -> None:
    """Creates what is missing on the cluster of KAFKA_BROKERS; needed once before stages are run singly.

    Topics that exist stay as they are. `revstream up` does this by itself.
    """
    sys.exit(_run(_create_topics(as_json)))


topics.add_command(copy)


@main.command()
@click.option("--sandbox", is_flag=True, help="Use a local Salesforce in place of a real one.")
def up(sandbox: bool) -> None:
    """Runs gateway, projector, writer and notifier together.

    Kafka is embedded unless KAFKA_BROKERS names a cluster. Ctrl-C ends everything in order.
    """
    sys.exit(_run(_up(sandbox)))


@main.command()
@click.option("--customers", default=300, show_default=True, help="How many customers live in Stripe.")
@click.option("--seed", default=7, show_default=True, help="The same seed makes the same run.")
@click.option("--duplicates", default=0.1, show_default=True, help="Share of events delivered again.")
@click.option("--shuffle/--in-order", default=True, show_default=True, help="Deliver events out of order.")
@click.option("--json", "as_json", is_flag=True, help="End with one line of JSON.")
@click.option("--keep", is_flag=True, help="Leave everything running until Ctrl-C.")
def demo(customers: int, seed: int, duplicates: float, shuffle: bool, as_json: bool, keep: bool) -> None:
    """Plays Stripe traffic through the whole pipe into a local Salesforce.

    Ends with what Salesforce holds beside what it should hold; exit status 0 only if they agree.
    """
    from stream.sandbox.demo import Demo, play

    sys.exit(_run(play(Demo(customers, seed, duplicates, shuffle, as_json, keep))))


# Of the commands below: what runs is stopped in order, and what was made stays.
STANDING = "Nothing is lost: topics that are there stay, and the same command goes on."


def _run(work: Coroutine[Any, Any, int]) -> int:
    """Runs a command to its exit code; what a person can mend is told in one line."""
    try:
        return uvloop.run(work)
    except (SettingError, ChildError) as error:
        click.echo(f"revstream: {error}", err=True)
        return MISCONFIGURED
    except (BrokerError, KafkaError, TimeoutError) as error:
        click.echo(f"revstream: {error}", err=True)
        return FAILED
    except KeyboardInterrupt:
        click.echo(f"revstream: Stopped. {STANDING}", err=True)
        return 128 + signal.SIGINT


async def _create_topics(as_json: bool) -> int:
    settings = load()
    await create_topics(settings.kafka)
    if as_json:
        click.echo(
            json.dumps({"partitions": settings.kafka.partitions, "topics": [of.name for of in TOPICS]})
        )
        return 0
    click.echo(f"{len(TOPICS)} topics are there: {', '.join(topic.name for topic in TOPICS)}.")
    return 0


async def _up(sandbox: bool) -> int:
    settings = load()
    log_to_stderr(settings)
    told = asyncio.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(ending, told.set)
    org = stages.local_org(Path(settings.revstream.state_dir) / "salesforce") if sandbox else None
    async with AsyncExitStack() as stack:
        supervisor, addresses = await stack.enter_async_context(
            stages.together(settings, org.environment if org else None)
        )
        if org:
            supervisor.start(org.child)
            click.echo(f"Salesforce  {org.url}/sandbox/state  (local)")
        click.echo(f"webhooks    http://{addresses.gateway}/webhooks/stripe")
        click.echo(f"Kafka       {addresses.kafka}")
        for name, address in addresses.internal.items():
            click.echo(f"{name:<11} http://{address}/metrics")
        waits: list[asyncio.Future[Any]] = [supervisor.failed, asyncio.create_task(told.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if supervisor.failed.done():
            supervisor.failed.result()
    return 0


if __name__ == "__main__":
    main()
