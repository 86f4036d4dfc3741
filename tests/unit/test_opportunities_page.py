"""The page on Opportunities names everything that there is."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from agents import subscriptions
from agents.movements import Kind
from stream.settings import Opportunities

PAGE = Path("docs/reference/opportunities.md").read_text()


@pytest.mark.parametrize(
    "name",
    [
        *get_args(Kind),
        *subscriptions.SOURCES,
        *Opportunities().stages,
        *Opportunities().types,
        *Opportunities().movements,
    ],
)
def test_the_page_tells_of(name: str) -> None:
    assert f"`{name}`" in PAGE
