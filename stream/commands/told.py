"""What the operator's commands do alike: exit codes, JSON or text, times a person can read."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
import uvloop
from aiokafka.errors import KafkaError

from stream.kafka.offsets import OffsetsError
from stream.kafka.plan import PlanError
from stream.settings import SettingError, Settings, load

DONE = 0
FAILED = 1
MISUSED = 2
ACTIVE = 3
DRIFTED = 4
REFUSED = 5

EXIT_CODES = """
\b
Exit status:
  0  done
  1  Kafka or Stripe did not answer, or did not do it
  2  an option or a setting is wrong
  3  the group has members
  4  the cluster is not as the plan found it
  5  the plan would not do what was asked for, or nothing was confirmed
  130  Ctrl-C; the last line says how things stand and how to go on
"""


class Refusal(Exception):
    """A command that will not go on; with its exit code and what to tell."""

    def __init__(self, code: int, told: str) -> None:
        super().__init__(told)
        self.code = code


class Standing:
    """How things stand, for whoever ends a command with Ctrl-C: what is done, and how to go on."""

    def __init__(self, told: str = "Nothing was changed.") -> None:
        self.told = told


def run(work: Callable[[Settings], Coroutine[Any, Any, int]], standing: Standing | None = None) -> None:
    """Runs a command and exits with its code; what goes wrong, or how things stand after Ctrl-C, is told in one
    line."""
    standing = standing or Standing()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells of each try, we of what came of it
    try:
        code = uvloop.run(work(load()))
    except Refusal as error:
        click.echo(f"revstream: {error}", err=True)
        code = error.code
    except (SettingError, PlanError) as error:
        click.echo(f"revstream: {error}", err=True)
        code = MISUSED
    except OffsetsError as error:
        click.echo(f"revstream: {error}", err=True)
        code = FAILED
    except BrokenPipeError:  # whoever read the output, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    except (KafkaError, OSError) as error:
        click.echo(f"revstream: Kafka: {type(error).__name__}: {error}", err=True)
        code = FAILED
    except (KeyboardInterrupt, click.Abort):
        click.echo(f"revstream: Stopped. {standing.told}", err=True)
        code = 128 + signal.SIGINT
    sys.exit(code)


def when(at: int | None) -> str:
    """Epoch milliseconds in UTC, or a dash."""
    return (
        "-"
        if at is None
        else datetime.fromtimestamp(at / 1000, UTC).isoformat(" ", "seconds").replace("+00:00", "Z")
    )


def say_json(value: Any) -> None:
    """One JSON document."""
    click.echo(msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=2).decode())


def say_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns, as wide as they need to be."""
    texts = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[n]) for row in texts) for n in range(len(head))]
    for row in texts:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
