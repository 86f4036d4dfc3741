"""Bodies on the wire."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import BodyPartReader, web

from stream.sandbox.salesforce.errors import ApiError
from stream.sandbox.salesforce.resources import Call


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(
        status=status,
        body=msgspec.json.encode(body),
        headers=headers,
        content_type="application/json",
        charset="utf-8",
    )


def decoded(call: Call) -> Any:
    """The body from JSON; None when there is none; the refusal when it is no JSON."""
    if not isinstance(call.body, bytes):
        return call.body
    if not call.body:
        return None
    kind = call.headers.get("Content-Type", "application/json").partition(";")[0].strip().casefold()
    if kind != "application/json":
        return ApiError(
            415, "UNSUPPORTED_MEDIA_TYPE", f"Content-Type {kind} not supported for the entity body"
        )
    try:
        return msgspec.json.decode(call.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return ApiError(400, "JSON_PARSER_ERROR", str(error))


def object_of(call: Call, body: Any) -> str | None:
    """The object that a call is about, from its address or its body."""
    if "object" in call.names:
        return call.names["object"]
    if not isinstance(body, dict):
        return None
    rows = body.get("records")
    first = rows[0] if isinstance(rows, list) and rows else body
    attributes = first.get("attributes") if isinstance(first, dict) else None
    found = attributes.get("type") if isinstance(attributes, dict) else body.get("object")
    return found if isinstance(found, str) else None


async def parts(request: web.Request) -> tuple[Any, bytes | None]:
    """The parts `job` and `content` of a multipart create call."""
    told: Any = None
    content: bytes | None = None
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            raise ApiError(400, "INVALID_MULTIPART_REQUEST", "nested multipart bodies are not taken")
        if part.name == "job":
            told = bytes(await part.read())
        elif part.name == "content":
            content = bytes(await part.read())
    if told is None or content is None:
        raise ApiError(400, "INVALID_MULTIPART_REQUEST", "the parts job and content are needed")
    try:
        return msgspec.json.decode(told), content
    except msgspec.DecodeError as error:
        raise ApiError(400, "JSON_PARSER_ERROR", str(error)) from None
