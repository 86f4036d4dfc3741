from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stream.sandbox.salesforce.options import HELP, Options


def test_every_option_is_explained() -> None:
    assert set(HELP) == set(Options.__struct_fields__)


def test_some_can_be_changed() -> None:
    assert Options(seed=3).changed({"daily_limit": 5}) == Options(seed=3, daily_limit=5)


@pytest.mark.parametrize("patch", [None, {"daily_limit": "x"}, {"daily_limt": 1}, {"latency_seconds": -1}])
def test_what_cannot(patch: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        Options().changed(patch)
