"""SOQL with values in it: quoting, and lists cut to what an address can hold. Pure."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from urllib.parse import quote

# Salesforce takes 16,384 bytes of address and headers (API Request Limits); ours and its own need some of it.
MAX_ENCODED = 14_000

_UNRESERVED = (string.ascii_letters + string.digits + "-._~").encode()

# SOQL and SOSL Reference: "Quoted String Escape Sequences".
_ESCAPES = {
    "\\": "\\\\",
    "'": "\\'",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\b": "\\b",
    "\f": "\\f",
}
_SPECIAL = re.compile("[" + re.escape("".join(_ESCAPES)) + "]")


def literal(value: str) -> str:
    """A value as a quoted string."""
    return "'" + _SPECIAL.sub(lambda found: _ESCAPES[found[0]], value) + "'"


def encoded(query: str) -> str:
    """As it stands in an address."""
    return quote(query, safe="")


def _weight(text: str) -> int:
    """How long it is in an address: every byte but those that RFC 3986 leaves as they are takes three."""
    told = text.encode()
    return len(told) + 2 * len(told.translate(None, _UNRESERVED))


def selects(head: str, field: str, values: Iterable[str], tail: str = "") -> list[str]:
    """`head WHERE field IN (values) tail`, as many times as the values need; none for no values."""
    room = MAX_ENCODED - _weight(f"{head} WHERE {field} IN () {tail}")
    queries = []
    batch: list[str] = []
    used = 0
    for value in dict.fromkeys(values):
        quoted = literal(value)
        weight = _weight(quoted + ",")
        if batch and used + weight > room:
            queries.append(_select(head, field, batch, tail))
            batch, used = [], 0
        batch.append(quoted)
        used += weight
    if batch:
        queries.append(_select(head, field, batch, tail))
    return queries


def _select(head: str, field: str, quoted: list[str], tail: str) -> str:
    return f"{head} WHERE {field} IN ({','.join(quoted)}) {tail}".rstrip()
