"""The subrequests of Composite calls: what they are made of, how one names another's answer, how they run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from stream.sandbox.salesforce.errors import ApiError, not_found
from stream.sandbox.salesforce.resources import Answer, Call, Route, Work, call_of, refused

_REFERENCE = re.compile(r"@\{(\w+)((?:\.\w+|\[\d+\])*)\}")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")

ROLLED_BACK = "The transaction was rolled back since another operation in the same transaction failed."


class Node(msgspec.Struct, frozen=True):
    """One subrequest."""

    method: str
    url: str
    reference: str = msgspec.field(name="referenceId")
    body: Any = None
    headers: dict[str, str] = msgspec.field(default_factory=dict, name="httpHeaders")

    @property
    def needs(self) -> set[str]:
        """The subrequests whose answers it names."""
        return {match[1] for text in _texts([self.url, self.body]) for match in _REFERENCE.finditer(text)}

    @property
    def kind(self) -> tuple[str, str]:
        """Method and object: nodes of one kind may run together."""
        parts = self.url.partition("?")[0].split("/")
        return self.method.upper(), "/".join(parts[3:6]).casefold()


def read(told: Any, most: int) -> list[Node]:
    """The nodes of a request. Raises ApiError."""
    try:
        nodes = msgspec.convert(told, list[Node])
    except msgspec.ValidationError as error:
        raise ApiError(400, "JSON_PARSER_ERROR", f"compositeRequest: {error}") from None
    if len(nodes) > most:
        raise ApiError(
            400, "LIMIT_EXCEEDED", f"Limit exceeded: {len(nodes)} subrequests, the maximum is {most}"
        )
    references = [node.reference for node in nodes]
    for reference in references:
        if references.count(reference) > 1 or not re.fullmatch(r"[A-Za-z0-9_]+", reference):
            raise ApiError(400, "INVALID_INPUT", f"referenceId {reference} must be unique and alphanumeric")
    return nodes


def halted(message: str, status: int = 400) -> Answer:
    """The answer of a subrequest that was not run, or was taken back."""
    return refused(ApiError(status, "PROCESSING_HALTED", message))


def collated(nodes: list[Node]) -> Iterator[Node]:
    """The order in which Salesforce may run nodes that do not need each other: kind by kind.

    A node still comes after those that it names. Whoever relies on more than that has a bug.
    """
    done: set[str] = set()
    earlier: set[str] = set()
    needs: dict[str, set[str]] = {}
    for node in nodes:
        needs[node.reference] = node.needs & earlier
        earlier.add(node.reference)
    left = list(nodes)
    while left:
        ready = [node for node in left if needs[node.reference] <= done]
        kinds = dict.fromkeys(node.kind for node in ready)
        for kind in kinds:
            yield from (node for node in ready if node.kind == kind)
        done |= {node.reference for node in ready}
        left = [node for node in left if node.reference not in done]


class Run:
    """The answers so far of one Composite call or of one graph."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.answers: dict[str, Answer] = {}

    def call(self, node: Node) -> tuple[Call, Route]:
        """A node as a call, with its references still in it. Raises ApiError."""
        call = call_of(node.method, _REFERENCE.sub("0", node.url), None, node.headers)
        return call, self._work.router.find(call)

    def answer(self, node: Node) -> Answer:
        """Runs a node and keeps its answer."""
        try:
            url, body = self._filled(node.url), self._filled(node.body)
            answer = self._work.router.answer(self._work, call_of(node.method, str(url), body, node.headers))
        except ApiError as error:
            answer = refused(error)
        self.answers[node.reference] = answer
        return answer

    def _filled(self, told: Any) -> Any:
        if isinstance(told, dict):
            return {name: self._filled(value) for name, value in told.items()}
        if isinstance(told, list):
            return [self._filled(value) for value in told]
        if not isinstance(told, str):
            return told
        whole = _REFERENCE.fullmatch(told)
        if whole is not None:
            return self._named(whole)
        return _REFERENCE.sub(lambda match: str(self._named(match)), told)

    def _named(self, match: re.Match[str]) -> Any:
        answer = self.answers.get(match[1])
        value = answer.body if answer is not None and answer.status < 300 else None
        for step in _STEP.finditer(match[2]):
            if step[1] is not None and isinstance(value, dict):
                folded = {name.casefold(): name for name in value}
                value = value.get(folded.get(step[1].casefold(), ""))
            elif step[2] is not None and isinstance(value, list) and int(step[2]) < len(value):
                value = value[int(step[2])]
            else:
                value = None
        if value is None or isinstance(value, (dict, list)):
            raise ApiError(
                400,
                "PROCESSING_HALTED",
                f"Invalid reference specified. No value for {match[1]}{match[2]} found in {match[1]}",
            )
        return value


def result(node: Node, answer: Answer) -> dict[str, Any]:
    """An entry of `compositeResponse`."""
    headers = dict(answer.headers)
    if answer.status == 201 and isinstance(answer.body, dict):
        path = "/".join(node.url.partition("?")[0].split("/")[:6])
        headers["Location"] = f"{path}/{answer.body.get('id')}"
    return {
        "body": answer.body,
        "httpHeaders": headers,
        "httpStatusCode": answer.status,
        "referenceId": node.reference,
    }


def only(routes: Iterable[str], route: Route) -> None:
    """Raises ApiError unless the route is one of these operations."""
    if route.operation not in routes:
        raise not_found(f"{route.operation} cannot be a subrequest here")


def _texts(told: Any) -> Iterator[str]:
    if isinstance(told, str):
        yield told
    elif isinstance(told, dict):
        for value in told.values():
            yield from _texts(value)
    elif isinstance(told, list):
        for value in told:
            yield from _texts(value)
