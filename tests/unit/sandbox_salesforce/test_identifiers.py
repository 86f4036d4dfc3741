from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sandbox.salesforce.identifiers import checksum, make, normal, number_of


def test_suffix_is_salesforces() -> None:
    # Worked by hand: 0,0,D(=4),0,0 → bit 2 → "E"; the other chunks have no capitals → "A".
    assert checksum("00D000000000062") == "EAA"
    # The last chunk GBjLt: bits 0, 1 and 3 → 11 → "L".
    assert checksum("0017000000GBjLt") == "AAL"
    assert checksum("ZZZZZ0000A00000") == "5QA"
    assert normal("00D000000000062") == "00D000000000062EAA"


@pytest.mark.parametrize(
    "bad",
    ["", "001", "001Sb00000000010", "001Sb0000000001AAA"[::-1], "001Sb000000000-", "00D000000000062EAB"],
)
def test_what_is_no_id(bad: str) -> None:
    assert normal(bad) is None


@given(st.integers(min_value=0, max_value=62**9 - 1))
def test_numbers_come_back(number: int) -> None:
    identifier = make("001", number)
    assert len(identifier) == 18
    assert number_of(identifier) == number
    assert normal(identifier[:15]) == normal(identifier) == identifier


@given(st.lists(st.integers(min_value=0, max_value=10**6), min_size=2, max_size=2, unique=True))
def test_ids_differ_without_case(numbers: list[int]) -> None:
    first, second = (make("003", number) for number in numbers)
    assert first.casefold() != second.casefold()
