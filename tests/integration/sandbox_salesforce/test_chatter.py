"""Posts on records, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.sandbox_salesforce.conftest import Caller

PATH = "/chatter/feed-elements"


def post(subject: str, *segments: Any) -> dict[str, Any]:
    return {
        "feedElementType": "FeedItem",
        "subjectId": subject,
        "body": {"messageSegments": list(segments)},
    }


def text(value: str) -> dict[str, str]:
    return {"type": "Text", "text": value}


async def test_a_post_is_kept_with_whom_it_mentions_and_is_not_idempotent(call: Caller) -> None:
    account = await call.create("Account", Name="Acme")
    me = call.org.user
    for _ in range(2):
        made = await call("POST", PATH, json=post(account, {"type": "Mention", "id": me}, text(" look")))
        assert (made.status, made.body["parent"], made.body["body"]["text"]) == (
            *(201, {"id": account}),
            "@Integration look",
        )
    found = await call.select("SELECT Body, Parent.Name FROM FeedItem")
    assert [(row["Body"], row["Parent"]["Name"]) for row in found] == [("@Integration look", "Acme")] * 2
    assert (await call("POST", PATH, json=post("me", text("x")))).body["parent"] == {"id": me}


@pytest.mark.parametrize(
    ("segments", "code"),
    [
        ([], "INVALID_INPUT"),
        ([{"type": "Text"}], "INVALID_INPUT"),
        (["text"], "INVALID_INPUT"),
        ([{"type": "Link", "url": "x"}], "INVALID_INPUT"),
        ([{"type": "Mention", "id": "x"}], "NOT_FOUND"),
        ([text("x" * 10_001)], "STRING_TOO_LONG"),
        ([text("x"), *[{"type": "Mention", "id": "x"}] * 26], "INVALID_INPUT"),
    ],
)
async def test_what_is_no_post_is_refused(call: Caller, segments: list[Any], code: str) -> None:
    account = await call.create("Account", Name="Acme")
    assert (await call("POST", PATH, json=post(account, *segments))).code == code
    assert await call.select("SELECT Id FROM FeedItem") == []


async def test_only_active_users_and_records_that_are_there(call: Caller) -> None:
    account = await call.create("Account", Name="Acme")
    gone = await call.create(
        "User", LastName="G", Username="g@x.example", Email="g@x.example", IsActive=False
    )
    assert (await call("POST", PATH, json=post(account, {"type": "Mention", "id": gone}))).code == (
        "INVALID_INPUT"
    )
    assert (await call("DELETE", f"/sobjects/Account/{account}")).status == 204
    assert (await call("POST", PATH, json=post(account, text("x")))).code == "NOT_FOUND"
    assert (await call("POST", PATH, json={"subjectId": account})).code == "INVALID_INPUT"
