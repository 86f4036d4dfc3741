"""`/sandbox`: looking at the org and steering it. None of this exists in Salesforce; none of it is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from stream.sandbox.salesforce.app import Api
from stream.sandbox.salesforce.dml import Dml
from stream.sandbox.salesforce.errors import RowError
from stream.sandbox.salesforce.faults import Fault
from stream.sandbox.salesforce.schema import SchemaError
from stream.sandbox.salesforce.wire import json_response


class Admin:
    """The admin calls of one running org."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._org = api.org

    def routes(self) -> list[web.RouteDef]:
        """Its part of an aiohttp application."""
        return [
            web.get("/sandbox/state", self.state),
            web.get("/sandbox/records/{object}", self.records),
            web.post("/sandbox/seed", _guarded(self.seed)),
            web.post("/sandbox/reset", _guarded(self.reset)),
            web.get("/sandbox/faults", self.faults),
            web.post("/sandbox/faults", _guarded(self.arm)),
            web.delete("/sandbox/faults", _guarded(self.disarm)),
            web.get("/sandbox/options", self.options),
            web.patch("/sandbox/options", _guarded(self.change_options)),
            web.get("/sandbox/schema", self.schema),
            web.patch("/sandbox/schema", _guarded(self.change_schema)),
        ]

    async def state(self, request: web.Request) -> web.Response:
        """Counts of records, rows, calls and jobs."""
        org = self._org
        calls: dict[str, dict[str, int]] = {}
        for (operation, status), count in sorted(org.calls.items()):
            # Status 0 stands for a call whose connection was cut.
            calls.setdefault(operation, {})[str(status)] = count
        rows: dict[str, dict[str, int]] = {}
        for (entity, outcome), count in sorted(org.rows.items()):
            rows.setdefault(entity, {})[outcome] = count
        jobs = Counter(job.info.state for job in self._api.jobs.all())
        return json_response(
            {
                "records": {name: len(table.rows) for name, table in org.store.tables.items()},
                "rows": rows,
                "calls": calls,
                "api_usage": {"used": org.calls_used.used, "total": org.options.daily_limit},
                "bulk_batches": {"used": org.batches_used.used, "total": org.options.daily_bulk_batches},
                "jobs": dict(jobs),
                "faults": len(org.faults.waiting()),
            }
        )

    async def records(self, request: web.Request) -> web.Response:
        """All records of an object, with the fields that are not empty."""
        entity = self._org.schema.entity(request.match_info["object"])
        if entity is None:
            raise _bad(f"There is no object {request.match_info['object']}.", 404)
        rows = self._org.store.rows(entity.name)
        return json_response([{name: row[name] for name in row if name in entity.fields} for row in rows])

    async def seed(self, told: Any) -> Any:
        """Inserts records, all or none: `{"Account": [{…}, …], …}`, parents before their children. Other than
        everybody's, their `CreatedDate` may be given."""
        if not isinstance(told, dict) or not all(isinstance(rows, list) for rows in told.values()):
            raise _bad("Give an object with a list of records for each Salesforce object.")

        def work(dml: Dml) -> dict[str, list[str]]:
            made: dict[str, list[str]] = {}
            for name, rows in told.items():
                entity = self._org.schema.entity(name)
                if entity is None:
                    raise _bad(f"There is no object {name}.")
                made[entity.name] = []
                for number, row in enumerate(rows):
                    if not isinstance(row, dict):
                        raise _bad(f"{name} number {number} is no record.")
                    try:
                        plain = {name: value for name, value in row.items() if name != "CreatedDate"}
                        made[entity.name].append(dml.insert(entity, plain, row.get("CreatedDate")).identifier)
                    except RowError as error:
                        raise _bad(f"{name} number {number}: {error}") from None
            return made

        made, locked = await self._org.transact(work)
        self._org.locks.free(locked)
        return made

    async def reset(self, told: Any) -> Any:
        """A new org. Tokens stay good, so that clients need not log in again."""
        await self._api.jobs.clear()
        self._org.reset()
        return {}

    async def faults(self, request: web.Request) -> web.Response:
        """The faults that may still happen."""
        return json_response(self._org.faults.waiting())

    async def arm(self, told: Any) -> Any:
        """Adds one fault, or a list of them; answers with all that are armed."""
        faults = msgspec.convert(told if isinstance(told, list) else [told], list[Fault])
        for fault in faults:
            if fault.do == "use-quota":
                self._org.calls_used.set(fault.used)
            else:
                self._org.faults.arm(fault)
        return self._org.faults.waiting()

    async def disarm(self, told: Any) -> Any:
        """Removes all faults."""
        self._org.faults.clear()
        return []

    async def options(self, request: web.Request) -> web.Response:
        """How the org behaves now."""
        return json_response(self._org.options)

    async def change_options(self, told: Any) -> Any:
        """Changes some options; answers with all."""
        self._org.options = self._org.options.changed(told)
        return self._org.options

    async def schema(self, request: web.Request) -> web.Response:
        """Objects and fields as they are now, in the shape that a change has."""
        return json_response(self._org.schema.raw)

    async def change_schema(self, told: Any) -> Any:
        """Adds, changes and, with null, removes objects and fields."""
        if not isinstance(told, dict):
            raise _bad("Give an object with the objects to change.")
        self._org.change_schema(told)
        return {name: self._org.schema.raw.get(name) for name in told}


def _guarded(work: Callable[[Any], Awaitable[Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler from JSON to JSON, which says in one line what is wrong with a request."""

    async def handler(request: web.Request) -> web.Response:
        body = await request.read()
        try:
            return json_response(await work(msgspec.json.decode(body) if body else None))
        except (msgspec.MsgspecError, SchemaError) as error:
            raise _bad(str(error)) from None

    return handler


def _bad(problem: str, status: int = 400) -> web.HTTPException:
    kind = web.HTTPNotFound if status == 404 else web.HTTPBadRequest
    return kind(text=msgspec.json.encode({"error": problem}).decode(), content_type="application/json")
