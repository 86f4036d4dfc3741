"""A question to whoever runs a command, and the answer that is typed."""

from __future__ import annotations

import asyncio
import select
import sys

import click

# Nobody notices 50 ms after what they typed, and 20 looks a second take no CPU to speak of.
LOOK_SECONDS = 0.05


async def confirmed(what: str) -> bool:
    """Whether a person says yes; anything else is no."""
    return (await _answer(f"{what} [y/N]: ")).lower() in ("y", "yes")


async def typed(what: str) -> str:
    """What a person types, without the space around it."""
    return await _answer(f"{what}: ")


async def _answer(question: str) -> str:
    """One line of the standard input.

    Ctrl-C cancels the task. A read would not notice, and one that a signal just precedes waits for ever: Python
    runs a signal's handler before a system call or after it, and in between there is room. So a read begins only
    when there is something to be read.

    Raises:
        click.Abort: The input has ended, or there is none.
    """
    click.echo(question, nl=False, err=True)
    try:
        if sys.stdin is None:  # closed by whoever started the command
            raise click.Abort
        while not select.select([sys.stdin], [], [], 0)[0]:  # noqa: ASYNC110 - a file has no event to be awaited
            await asyncio.sleep(LOOK_SECONDS)
        line = sys.stdin.readline()
        if not line:
            raise click.Abort
    except (asyncio.CancelledError, click.Abort):
        click.echo(err=True)  # what is told next begins a line
        raise
    return line.strip()
