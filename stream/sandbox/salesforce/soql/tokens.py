"""The words of a SOQL text."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from stream.sandbox.salesforce.errors import ApiError

Kind = Literal["name", "text", "number", "date", "datetime", "sign", "end"]

_WORDS = re.compile(
    r"""\s*(?:
      (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
    | '(?P<text>(?:[^'\\]|\\.)*)'
    | (?P<sign><=|>=|!=|<>|[=<>(),:])
    )""",
    re.VERBOSE | re.DOTALL,
)
# "Quoted String Escape Sequences"; \_ and \% mean something to LIKE only, so they are kept as they are.
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)


class Token(msgspec.Struct, frozen=True):
    """One word. `text` of a string is without quotes and escapes; `start` is where it stands, from 0."""

    kind: Kind
    text: str
    start: int


def malformed(query: str, start: int, message: str) -> ApiError:
    """MALFORMED_QUERY with the place, as Salesforce draws it."""
    return ApiError(400, "MALFORMED_QUERY", f"{drawn(query, start)}\n{message}")


def drawn(query: str, start: int) -> str:
    """The query up to a place, a mark under it, and its row and column."""
    before = query[:start]
    row, column = before.count("\n") + 1, start - before.rfind("\n")
    line = query.split("\n")[row - 1]
    return f"\n{line}\n{' ' * (column - 1)}^\nERROR at Row:{row}:Column:{column}"


def unescaped(text: str, query: str, start: int) -> str:
    """The text that a quoted string stands for. Raises ApiError for an escape that SOQL does not have."""

    def one(match: re.Match[str]) -> str:
        code = match[1]
        if code in "_%":
            return match[0]
        if code[0] == "u" and len(code) == 5:
            return chr(int(code[1:], 16))
        if (char := _ESCAPES.get(code.lower())) is None:
            raise malformed(query, start, f"Invalid string literal. Illegal character sequence '\\{code}'")
        return char

    return _ESCAPE.sub(one, text) if "\\" in text else text


def tokens(query: str) -> list[Token]:
    """All words of a query, and an end. Raises ApiError with MALFORMED_QUERY."""
    found: list[Token] = []
    position = 0
    stop = len(query.rstrip())
    while position < stop:
        match = _WORDS.match(query, position)
        if match is None or match.lastgroup is None:
            at = position + len(query[position:]) - len(query[position:].lstrip())
            raise malformed(query, at, f"unexpected token: '{query[at]}'")
        kind: Kind = match.lastgroup  # type: ignore[assignment]  # the groups are named after the kinds
        start = match.start(kind)
        text = match[kind]
        found.append(Token(kind, unescaped(text, query, start - 1) if kind == "text" else text, start))
        position = match.end()
    found.append(Token("end", "<EOF>", len(query)))
    return found
