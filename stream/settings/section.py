"""What a section of the settings is."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen group of settings; an unknown name in it is an error, so that a typo is not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def split(value: Any) -> Any:
    """Comma-separated text as a list, as an environment variable carries it."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
