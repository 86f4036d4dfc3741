"""`/query`, `/queryAll` and the pages that follow ("Query", "QueryAll")."""

from __future__ import annotations

import re
from typing import Any

from stream.sandbox.salesforce.cursors import Cursor, Cursors
from stream.sandbox.salesforce.errors import ApiError
from stream.sandbox.salesforce.resources import Answer, Call, Work, route
from stream.sandbox.salesforce.soql.parser import parse
from stream.sandbox.salesforce.soql.plan import Column, Plan
from stream.sandbox.salesforce.store import Row

_MIN_PAGE, _MAX_PAGE = 200, 2000

_LOCATOR = re.compile(r"(01g\w{15})-(\d+)")
_BATCH_SIZE = re.compile(r"batchSize\s*=\s*(\d+)", re.IGNORECASE)


def _record(plan: Plan, columns: list[tuple[Column, int]], row: Row, base: str) -> dict[str, Any]:
    """The selected fields of a row; parents are objects within it, or null."""
    kind = plan.kind(row)
    found: dict[str, Any] = {"attributes": {"type": kind, "url": f"{base}/sobjects/{kind}/{row['Id']}"}}
    below: dict[str, list[tuple[Column, int]]] = {}
    for column, depth in columns:
        if depth == len(column.parents):
            found[column.field.name] = row.get(column.field.name)
        else:
            name = column.parents[depth].relationship
            below.setdefault(name, []).append((column, depth + 1))
            found.setdefault(name, None)
    for name, deeper in below.items():
        column, depth = deeper[0]
        parent = plan.parent(column.parents[depth - 1], row)
        found[name] = None if parent is None else _record(plan, deeper, parent, base)
    return found


def _page(cursor: Cursor, start: int, identifier: str | None, call: Call, cursors: Cursors) -> Answer:
    end = start + cursor.page
    done = end >= len(cursor.rows)
    columns = [(column, 0) for column in cursor.plan.columns]
    body: dict[str, Any] = {"totalSize": len(cursor.rows), "done": done}
    if not done:
        identifier = identifier or cursors.open(cursor)
        body["nextRecordsUrl"] = f"{call.base}/query/{identifier}-{end}"
    body["records"] = [_record(cursor.plan, columns, row, call.base) for row in cursor.rows[start:end]]
    return Answer(body=body)


def _query(work: Work, call: Call) -> Answer:
    text = call.query.get("q", "")
    if not text:
        raise ApiError(400, "MALFORMED_QUERY", "A query string has to be specified")
    query = parse(text)
    plan = Plan(query, work.org.schema, work.org.store)
    rows = plan.rows(deleted="queryall" in call.path.casefold())
    if query.count:
        return Answer(body={"totalSize": len(rows), "done": True, "records": []})
    told = _BATCH_SIZE.search(call.headers.get("Sforce-Query-Options", ""))
    page = min(max(int(told[1]), _MIN_PAGE), _MAX_PAGE) if told else work.org.options.query_page_rows
    return _page(Cursor(plan, rows, max(page, 1)), 0, None, call, work.cursors)


def _more(work: Work, call: Call) -> Answer:
    match = _LOCATOR.fullmatch(call.names["locator"])
    cursor = work.cursors.get(match[1]) if match else None
    if match is None or cursor is None:
        raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    return _page(cursor, int(match[2]), match[1], call, work.cursors)


ROUTES = (
    route("GET", "/query", "query", _query),
    route("GET", "/queryAll", "query", _query),
    route("GET", "/query/{locator}", "query-more", _more),
    route("GET", "/queryAll/{locator}", "query-more", _more),
)
