"""The generated pages are those of the code."""

from __future__ import annotations

import pytest

from docs import generate


@pytest.mark.parametrize("file", generate.PAGES)
def test_the_committed_page_is_the_generated_one(file: str) -> None:
    assert (generate.FOLDER / file).read_text() == generate.PAGES[file](), "Run `make docs`."


def test_every_setting_says_what_it_means() -> None:
    assert [
        f"{section}.{name}"
        for section, of in generate.sections()
        for name, info in of.model_fields.items()
        if not info.description
    ] == []


def test_every_section_says_what_it_is_for() -> None:
    assert {name for name, _ in generate.sections()} == set(generate.SECTIONS)


def test_a_secret_has_no_default_and_is_marked() -> None:
    page = generate.settings()
    for section, of in generate.sections():
        for name, info in of.model_fields.items():
            if generate.is_secret(info):
                row = f"| `{section}_{name}` |".upper() + f" `{name}` | none | *secret*: "
                assert row in page
