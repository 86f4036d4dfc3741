from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from stream.sandbox.salesforce import schema as schemas
from stream.sandbox.salesforce.identifiers import make
from stream.sandbox.salesforce.store import Row, Store

SCHEMA = schemas.load()
NUMBERS = st.integers(min_value=1, max_value=5)
KEYS = st.sampled_from(["cus_A", "cus_a", "cus_B", None])


class Machine(RuleBasedStateMachine):
    """The store against a dictionary: indexes always agree with the rows, and a rollback is exact."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(SCHEMA)
        self.model: dict[str, Row] = {}
        self.kept: dict[str, Row] = {}

    @rule(number=NUMBERS, key=KEYS, name=st.sampled_from(["Ann", "ANN", "Bo"]))
    def put(self, number: int, key: str | None, name: str) -> None:
        identifier = make("001", number)
        row: Row = {"Id": identifier, "Name": name}
        if key is not None:
            row["Stripe_Customer_Id__c"] = key
        self.store.put("Account", identifier, row)
        self.model[identifier] = row

    @rule(number=NUMBERS)
    def delete(self, number: int) -> None:
        identifier = make("001", number)
        if identifier in self.model:
            self.store.delete("Account", identifier)
            del self.model[identifier]
            assert self.store.binned("Account", identifier)

    @rule()
    def commit(self) -> None:
        for change in self.store.commit():
            held = self.model.get(change.identifier)
            assert change.deleted == (held is None)
            assert held is None or change.row == held
        self.kept = dict(self.model)

    @rule()
    def rollback(self) -> None:
        self.store.rollback()
        self.model = dict(self.kept)

    @invariant()
    def rows_agree(self) -> None:
        assert {str(row["Id"]): row for row in self.store.rows("Account")} == self.model

    @invariant()
    def indexes_agree(self) -> None:
        for key in ("cus_A", "cus_a", "cus_B"):
            wanted = {i for i, row in self.model.items() if row.get("Stripe_Customer_Id__c") == key}
            assert set(self.store.find("Account", "Stripe_Customer_Id__c", key)) == wanted
        wanted = {i for i, row in self.model.items() if str(row["Name"]).casefold() == "ann"}
        assert set(self.store.find("Account", "Name", "aNN")) == wanted


Machine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestStore = Machine.TestCase


def test_a_rollback_to_a_mark_keeps_what_came_before() -> None:
    store = Store(SCHEMA)
    first, second = make("001", 1), make("001", 2)
    store.put("Account", first, {"Id": first, "Name": "a"})
    mark = store.mark()
    store.put("Account", first, {"Id": first, "Name": "b"})
    store.put("Account", second, {"Id": second, "Name": "c"})
    store.rollback(mark)
    assert [change.row for change in store.commit()] == [{"Id": first, "Name": "a"}]


def test_ids_go_on_after_what_was_loaded() -> None:
    store = Store(SCHEMA)
    store.load("Account", make("001", 41), {"Id": make("001", 41), "Name": "a"}, deleted=False)
    assert store.next_id("001") == make("001", 42)


def test_a_field_that_becomes_keyed_is_found() -> None:
    store = Store(SCHEMA)
    identifier = make("001", 1)
    store.put("Account", identifier, {"Id": identifier, "Name": "a", "Fax": "12"})
    store.describe(SCHEMA.patched({"Account": {"fields": {"Fax": {"type": "phone", "indexed": True}}}}))
    assert list(store.find("Account", "Fax", "12")) == [identifier]
