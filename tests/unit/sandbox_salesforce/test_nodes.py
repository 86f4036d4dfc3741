from __future__ import annotations

from typing import Any

import pytest

from stream.sandbox.salesforce import nodes
from stream.sandbox.salesforce.errors import ApiError
from stream.sandbox.salesforce.nodes import Node

BASE = "/services/data/v65.0/sobjects"


def node(reference: str, name: str, body: Any = None, method: str = "POST") -> Node:
    return Node(method, f"{BASE}/{name}", reference, body)


def test_a_node_needs_what_it_names() -> None:
    told = node("c", "Contact/@{x.id}", {"AccountId": "@{a.id}", "Deep": [{"y": "- @{b.records[0].Id} -"}]})
    assert told.needs == {"x", "a", "b"}


def test_collated_nodes_run_kind_by_kind_after_what_they_need() -> None:
    told = [
        node("a1", "Account"),
        node("c1", "Contact", {"AccountId": "@{a1.id}"}),
        node("t1", "Task"),
        node("a2", "Account"),
        node("c2", "Contact", {"AccountId": "@{a2.id}"}),
    ]
    assert [each.reference for each in nodes.collated(told)] == ["a1", "a2", "t1", "c1", "c2"]


def test_a_node_that_names_a_later_one_does_not_wait_for_it() -> None:
    told = [node("c1", "Contact", {"AccountId": "@{a1.id}"}), node("a1", "Account")]
    assert [each.reference for each in nodes.collated(told)] == ["c1", "a1"]


@pytest.mark.parametrize(
    "told",
    [
        None,
        {},
        [{"method": "GET"}],
        [{"method": "GET", "url": "/x", "referenceId": "a b"}],
        [{"method": "GET", "url": "/x", "referenceId": "a"}] * 2,
        [{"method": "GET", "url": "/x", "referenceId": f"a{n}"} for n in range(3)],
    ],
)
def test_what_is_no_request(told: Any) -> None:
    with pytest.raises(ApiError) as refused:
        nodes.read(told, 2)
    assert refused.value.status == 400
