"""Calls of the REST API and their answers, without HTTP: Composite makes them too.

A handler takes the work at hand and a call, and gives an answer or raises ApiError; it never waits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from stream.sandbox.salesforce.cursors import Cursors
from stream.sandbox.salesforce.dml import Dml
from stream.sandbox.salesforce.errors import ApiError, RowError, not_found
from stream.sandbox.salesforce.jobs import Jobs
from stream.sandbox.salesforce.org import Org
from stream.sandbox.salesforce.schema import Entity

OLDEST_VERSION, NEWEST_VERSION = 31, 68  # Winter '27; 21 to 30 were retired in Summer '25

_DATA = re.compile(r"/services/data/v(\d{2})\.0(/.*)?")


class Call(msgspec.Struct):
    """One call. `path` is what follows `/services/data/vXX.0`, still quoted; `names` are the parts of it that the
    route names, unquoted. `body` is decoded JSON, or bytes as sent when it was not JSON; `attachment` is the
    second part of a multipart body."""

    method: str
    version: int
    path: str
    query: dict[str, str]
    body: Any = None
    attachment: bytes | None = None
    headers: Mapping[str, str] = {}
    names: dict[str, str] = {}

    @property
    def base(self) -> str:
        """What the addresses in answers start with."""
        return f"/services/data/v{self.version}.0"

    def object_body(self) -> dict[str, Any]:
        """The body, which must be a JSON object. Raises ApiError."""
        if not isinstance(self.body, dict):
            raise ApiError(400, "JSON_PARSER_ERROR", "The HTTP entity body is required to be a JSON object")
        return self.body

    def flag(self, name: str) -> bool:
        """A true-or-false part of the query string."""
        return self.query.get(name, "").casefold() == "true"


class Answer(msgspec.Struct):
    """What comes back. `body` is JSON-able, text as it is, or None for nothing; `cost` is in API calls."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = {}
    content_type: str = "application/json"
    cost: int = 1


class Work(msgspec.Struct, frozen=True):
    """What a handler works with: the org, this request's transaction, Bulk jobs and open queries, and the way
    to further calls."""

    org: Org
    dml: Dml
    jobs: Jobs
    cursors: Cursors
    router: Router

    def entity(self, name: str) -> Entity:
        """An object by its name. Raises ApiError."""
        if (entity := self.org.schema.entity(name)) is None:
            raise not_found()
        return entity


Handler = Callable[[Work, Call], Answer]


class Route(msgspec.Struct, frozen=True):
    """One resource: what it is called in faults and counts, and who answers for it."""

    operation: str
    method: str
    pattern: re.Pattern[str]
    handler: Handler


def route(method: str, template: str, operation: str, handler: Handler) -> Route:
    """A route for a path such as `/sobjects/{object}/{id}`."""
    parts = re.split(r"{(\w+)}", template)
    pattern = "".join(
        f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part) for index, part in enumerate(parts)
    )
    # Bulk's result resources are written in more than one case, and with or without a slash at the end.
    return Route(operation, method, re.compile(f"{pattern}/?", re.IGNORECASE), handler)


class Router:
    """Finds the route of a call, and lets it answer."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = tuple(routes)

    def find(self, call: Call) -> Route:
        """The route of a call, whose `names` it fills. Raises ApiError with 404, 405 or 410."""
        if call.version < OLDEST_VERSION:
            raise ApiError(
                410, "UNSUPPORTED_API_VERSION", f"API version {call.version}.0 is retired. Use a newer one."
            )
        if call.version > NEWEST_VERSION:
            raise not_found()
        allowed = []
        for found in self._routes:
            if match := found.pattern.fullmatch(call.path):
                if found.method == call.method:
                    call.names = {name: unquote(value) for name, value in match.groupdict().items()}
                    return found
                allowed.append(found.method)
        if allowed:
            methods = ", ".join(dict.fromkeys(allowed))
            raise ApiError(
                405, "METHOD_NOT_ALLOWED", f"HTTP Method '{call.method}' not allowed. Allowed are {methods}"
            )
        raise not_found()

    def answer(self, work: Work, call: Call) -> Answer:
        """The answer to a call; refusals are answers too, and leave nothing changed."""
        mark = work.dml.mark()
        try:
            return self.find(call).handler(work, call)
        except RowError as error:
            refusal = ApiError.of_row(error)
        except ApiError as error:
            refusal = error
        work.dml.rollback(mark)
        return refused(refusal)


def refused(error: ApiError) -> Answer:
    """A refusal as an answer."""
    return Answer(error.status, error.as_body())


def call_of(method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Call:
    """The call that an address under `/services/data` stands for. Raises ApiError."""
    path, _, query = url.partition("?")
    match = _DATA.fullmatch(path)
    if match is None:
        raise not_found()
    return Call(
        method=method.upper(),
        version=int(match[1]),
        path=match[2] or "/",
        query=dict(parse_qsl(query, keep_blank_values=True)),
        body=body,
        headers=headers or {},
    )
