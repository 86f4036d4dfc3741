"""Salesforce record IDs: 15 case-sensitive characters, or 18 with a suffix that survives folding of case.

The first three characters name the object. Each of the last three stands for five of the others: bit n is set
when the n-th of them is an upper-case letter ("ID Field Type", Object Reference).
"""

from __future__ import annotations

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_ALLOWED = frozenset(DIGITS)
_POD = "Sb0"  # two characters for the instance, and one that is reserved


def checksum(short: str) -> str:
    """The three last characters of the 18-character form of a 15-character ID."""
    return "".join(
        _SUFFIX[sum(1 << bit for bit, char in enumerate(short[start : start + 5]) if "A" <= char <= "Z")]
        for start in (0, 5, 10)
    )


def make(prefix: str, number: int) -> str:
    """The 18-character ID of the `number`-th record of the object with this three-character prefix."""
    digits = ""
    while number:
        number, digit = divmod(number, 62)
        digits = DIGITS[digit] + digits
    short = prefix + _POD + digits.rjust(9, "0")
    return short + checksum(short)


def number_of(identifier: str) -> int:
    """The number that `make` was given."""
    number = 0
    for char in identifier[6:15]:
        number = number * 62 + DIGITS.index(char)
    return number


def normal(value: str) -> str | None:
    """The 18-character form of an ID in either form; None for what cannot be an ID."""
    if len(value) not in (15, 18) or not _ALLOWED.issuperset(value):
        return None
    full = value[:15] + checksum(value[:15])
    return full if len(value) == 15 or value == full else None
