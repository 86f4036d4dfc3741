"""`/chatter/feed-elements`: posts with mentions ("Post a Feed Element", Connect REST API Developer Guide)."""

from __future__ import annotations

from typing import Any

from stream.sandbox.salesforce.errors import ApiError
from stream.sandbox.salesforce.identifiers import normal
from stream.sandbox.salesforce.resources import Answer, Call, Work, route

MOST_MENTIONS = 25
LONGEST = 10_000


def _refused(message: str) -> ApiError:
    return ApiError(400, "INVALID_INPUT", message)


def _post(work: Work, call: Call) -> Answer:
    """Keeps the post as a FeedItem; each call makes another one, as nothing names a post before it is made."""
    told = call.object_body()
    if told.get("feedElementType") != "FeedItem":
        raise _refused("feedElementType must be FeedItem")
    subject = _record(work, told.get("subjectId"))
    body = told.get("body")
    segments = body.get("messageSegments") if isinstance(body, dict) else None
    if not isinstance(segments, list) or not segments:
        raise _refused("body.messageSegments must hold a segment")
    if sum(isinstance(each, dict) and each.get("type") == "Mention" for each in segments) > MOST_MENTIONS:
        raise _refused(f"A post can mention at most {MOST_MENTIONS} people")
    shown = [_segment(work, each) for each in segments]
    text = "".join(each["text"] for each in shown)
    if len(text) > LONGEST:
        raise ApiError(400, "STRING_TOO_LONG", f"The post is longer than {LONGEST} characters")
    saved = work.dml.insert(work.entity("FeedItem"), {"ParentId": subject, "Body": text})
    return Answer(
        201,
        {
            "id": saved.identifier,
            "feedElementType": "FeedItem",
            "parent": {"id": subject},
            "body": {"text": text, "isRichText": False, "messageSegments": shown},
            "url": f"{call.base}/chatter/feed-elements/{saved.identifier}",
        },
    )


def _record(work: Work, told: Any) -> str:
    """The ID of the record, or `me` for who asks. Raises ApiError."""
    if told == "me":
        return work.org.user
    identifier = normal(told) if isinstance(told, str) else None
    entity = work.org.schema.of_id(identifier) if identifier else None
    if identifier is None or entity is None or work.org.store.get(entity.name, identifier) is None:
        raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
    return identifier


def _segment(work: Work, told: Any) -> dict[str, Any]:
    kind = told.get("type") if isinstance(told, dict) else None
    if kind == "Text" and isinstance(told.get("text"), str) and told["text"]:
        return {"type": "Text", "text": told["text"]}
    if kind == "Mention":
        identifier = _record(work, told.get("id"))
        user = work.org.store.get("User", identifier)
        if user is None or not user.get("IsActive"):
            raise _refused(f"{identifier} is no active user, and cannot be mentioned")
        name = str(user.get("Name"))
        return {"type": "Mention", "text": f"@{name}", "name": name, "record": {"id": identifier}}
    raise _refused("A message segment is {type: Text, text} or {type: Mention, id}")


ROUTES = (route("POST", "/chatter/feed-elements", "chatter-post", _post),)
