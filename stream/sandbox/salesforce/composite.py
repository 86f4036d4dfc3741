"""Many calls in one: `/composite`, `/composite/batch` and `/composite/graph` ("Composite Resources")."""

from __future__ import annotations

from typing import Any

import msgspec

from stream.sandbox.salesforce import nodes
from stream.sandbox.salesforce.errors import ApiError
from stream.sandbox.salesforce.nodes import Node, Run
from stream.sandbox.salesforce.resources import Answer, Call, Work, call_of, refused, route

MAX_SUBREQUESTS = 25
MAX_HEAVY = 5  # queries and collections among them
MAX_NODES, MAX_GRAPHS, MAX_DEPTH, MAX_KINDS = 500, 75, 15, 15
HALTED_AFTER = 14  # failed graphs; those that follow are not tried ("Composite Graph Limits")

_RECORDS = ("create", "get", "update", "delete", "upsert")
_HEAVY = (
    "query",
    "query-more",
    *(f"collections-{each}" for each in ("insert", "update", "upsert", "delete", "get")),
)
_COMPOSABLE = (*_RECORDS, *_HEAVY, "describe", "limits", "resources")


def _composite(work: Work, call: Call) -> Answer:
    told = call.object_body()
    wanted = nodes.read(told.get("compositeRequest"), MAX_SUBREQUESTS)
    run = Run(work)
    heavy = 0
    for node in wanted:
        _, found = run.call(node)
        nodes.only(_COMPOSABLE, found)
        heavy += found.operation in _HEAVY
    if heavy > MAX_HEAVY:
        raise ApiError(
            400,
            "LIMIT_EXCEEDED",
            f"Limit exceeded: at most {MAX_HEAVY} subrequests may be queries or sObject Collections",
        )
    # "Composite Request Body": collateSubrequests defaults to true from v49.
    collate = told.get("collateSubrequests", call.version >= 49) is True
    mark = work.dml.mark()
    for node in nodes.collated(wanted) if collate else wanted:
        answer = run.answer(node)
        if answer.status >= 300 and told.get("allOrNone") is True:
            work.dml.rollback(mark)
            run.answers = {each.reference: nodes.halted(nodes.ROLLED_BACK) for each in wanted}
            run.answers[node.reference] = answer
            break
    return Answer(
        body={"compositeResponse": [nodes.result(node, run.answers[node.reference]) for node in wanted]}
    )


class _Batched(msgspec.Struct, frozen=True):
    method: str
    url: str
    body: Any = msgspec.field(default=None, name="richInput")


def _batch(work: Work, call: Call) -> Answer:
    told = call.object_body()
    try:
        wanted = msgspec.convert(told.get("batchRequests"), list[_Batched])
    except msgspec.ValidationError as error:
        raise ApiError(400, "JSON_PARSER_ERROR", f"batchRequests: {error}") from None
    if len(wanted) > MAX_SUBREQUESTS:
        raise ApiError(400, "LIMIT_EXCEEDED", f"Limit exceeded: the maximum is {MAX_SUBREQUESTS} subrequests")
    results: list[dict[str, Any]] = []
    failed = False
    for each in wanted:
        if failed and told.get("haltOnError") is True:
            answer = nodes.halted("Batch processing halted per request", 412)
        else:
            try:
                url = each.url if each.url.startswith("/services") else f"/services/data/{each.url}"
                inner = call_of(each.method, url, each.body)
                nodes.only(_COMPOSABLE, work.router.find(inner))
                answer = work.router.answer(work, inner)
            except ApiError as error:
                answer = refused(error)
        failed = failed or answer.status >= 300
        results.append({"statusCode": answer.status, "result": answer.body})
    return Answer(body={"hasErrors": failed, "results": results}, cost=max(len(wanted), 1))


class _Graph(msgspec.Struct, frozen=True):
    name: str = msgspec.field(name="graphId")
    nodes: Any = msgspec.field(name="compositeRequest")


def _graph(work: Work, call: Call) -> Answer:
    try:
        told = msgspec.convert(call.object_body().get("graphs"), list[_Graph])
    except msgspec.ValidationError as error:
        raise ApiError(400, "JSON_PARSER_ERROR", f"graphs: {error}") from None
    graphs = [(graph.name, nodes.read(graph.nodes, MAX_NODES)) for graph in told]
    _check_graphs(work, graphs)
    results: list[dict[str, Any]] = []
    failed = 0
    for name, wanted in graphs:
        if failed >= HALTED_AFTER:
            halt = nodes.halted("Processing was halted: too many graphs of this request failed.", 412)
            answers, good = {node.reference: halt for node in wanted}, False
        else:
            answers, good = _whole(work, wanted)
        failed += not good
        results.append(
            {
                "graphId": name,
                "graphResponse": {
                    "compositeResponse": [nodes.result(node, answers[node.reference]) for node in wanted]
                },
                "isSuccessful": good,
            }
        )
    return Answer(body={"graphs": results})


def _whole(work: Work, wanted: list[Node]) -> tuple[dict[str, Answer], bool]:
    """Runs one graph, all or nothing."""
    run = Run(work)
    mark = work.dml.mark()
    for node in wanted:
        answer = run.answer(node)
        if answer.status >= 300:
            work.dml.rollback(mark)
            answers = {each.reference: nodes.halted(nodes.ROLLED_BACK) for each in wanted}
            return answers | {node.reference: answer}, False
    return run.answers, True


def _check_graphs(work: Work, graphs: list[tuple[str, list[Node]]]) -> None:
    every = [node for _, wanted in graphs for node in wanted]
    kinds = {node.kind for node in every}
    for count, most, what in (
        (len(graphs), MAX_GRAPHS, "graphs"),
        (len(every), MAX_NODES, "nodes"),
        (len(kinds), MAX_KINDS, "different kinds of nodes"),
        (max((_depth(wanted) for _, wanted in graphs), default=0), MAX_DEPTH, "levels of a graph"),
    ):
        if count > most:
            raise ApiError(400, "LIMIT_EXCEEDED", f"Limit exceeded: {count} {what}, the maximum is {most}")
    if len({name for name, _ in graphs}) < len(graphs):
        raise ApiError(400, "INVALID_INPUT", "graphId must be unique")
    for node in every:
        nodes.only(_RECORDS, Run(work).call(node)[1])


def _depth(wanted: list[Node]) -> int:
    depths: dict[str, int] = {}
    for node in wanted:
        depths[node.reference] = 1 + max((depths.get(need, 0) for need in node.needs), default=0)
    return max(depths.values(), default=0)


ROUTES = (
    route("POST", "/composite", "composite", _composite),
    route("POST", "/composite/batch", "composite-batch", _batch),
    route("POST", "/composite/graph", "composite-graph", _graph),
)
