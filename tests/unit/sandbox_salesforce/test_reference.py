"""The reference page names all there is, and its examples are taken."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from stream.sandbox.salesforce import schema as schemas
from stream.sandbox.salesforce.app import ROUTES
from stream.sandbox.salesforce.faults import Fault, Kind
from stream.sandbox.salesforce.options import Options

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "sandbox.md").read_text()
EXAMPLES = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]

NAMES = {
    "operations": {route.operation for route in ROUTES} | {"login"},
    "faults": set(get_args(Kind)),
    "fields of a fault": set(Fault.__struct_fields__),
}


@pytest.mark.parametrize("what", NAMES)
def test_everything_is_named(what: str) -> None:
    assert {name for name in NAMES[what] if f"`{name}`" not in PAGE} == set()


def test_every_option_has_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGE, re.MULTILINE))
    assert {name: float(value) for name, value in rows.items()} == msgspec.structs.asdict(Options())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: json.dumps(example)[:40])
def test_every_example_is_taken(example: Any) -> None:
    if isinstance(example, list) or "do" in example:
        assert msgspec.convert(example if isinstance(example, list) else [example], list[Fault])
    else:
        assert schemas.load().patched(example).entities["Account"].fields["Plan__c"].length == 40
