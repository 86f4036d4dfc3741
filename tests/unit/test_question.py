"""Questions: what counts as yes, an input that ends, and Ctrl-C at the worst moment."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import TextIO

import click
import pytest
import uvloop

from stream.commands.question import confirmed, typed


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[TextIO]:
    """What is written to it is typed; a pipe, since a question waits until there is something to be read."""
    read, write = os.pipe()
    with os.fdopen(read) as stdin, os.fdopen(write, "w", buffering=1) as keys:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield keys


@pytest.mark.parametrize(
    ("line", "yes"),
    [("y", True), ("Y", True), ("  yes ", True), ("n", False), ("", False), ("yesterday", False)],
)
async def test_only_yes_is_yes(
    keyboard: TextIO, capsys: pytest.CaptureFixture[str], line: str, yes: bool
) -> None:
    keyboard.write(line + "\n")
    assert await confirmed("Send them?") is yes
    assert capsys.readouterr() == ("", "Send them? [y/N]: ")


async def test_what_is_typed_late_and_with_space_around_it(keyboard: TextIO) -> None:
    asking = asyncio.create_task(typed("Type the group's name"))
    await asyncio.sleep(0)
    assert not asking.done()
    keyboard.write(" revstream-projector \n")
    assert await asking == "revstream-projector"


async def test_an_input_that_ends_is_no_answer(keyboard: TextIO) -> None:
    keyboard.close()
    with pytest.raises(click.Abort):
        await confirmed("Send them?")


async def test_no_input_at_all_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(click.Abort):
        await confirmed("Send them?")


def test_an_input_that_is_a_file_need_not_be_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        with pytest.raises(click.Abort):
            asyncio.run(confirmed("Send them?"))


@pytest.mark.parametrize("ask", [confirmed, typed])
def test_ctrl_c_just_before_the_answer_is_waited_for_ends_the_command(
    keyboard: TextIO, ask: Callable[[str], Awaitable[object]]
) -> None:
    answers: list[object] = []

    async def work() -> None:
        signal.raise_signal(signal.SIGINT)
        answers.append(await ask("Send them?"))

    # Whoever still waits gets an answer in the end, so that this test fails instead of standing.
    late = threading.Timer(20, keyboard.write, ["y\n"])
    late.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            uvloop.run(work())
    finally:
        late.cancel()
    assert not answers
