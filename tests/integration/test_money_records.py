"""What the workflows write of money, through the writer's core and the real client, into the local Salesforce."""

from __future__ import annotations

from typing import Any

from agents import disputes, failed_payments, invoices
from stream.records import Write
from stream.salesforce.client import Client
from stream.sandbox.salesforce import LocalSalesforce
from stream.settings import CUSTOMER_ID_FIELD, DEFAULT_MAPPING, STRIPE_ID_FIELD, Settings
from tests.fakes.desk import at_work, settings
from tests.fakes.writes import account, contact
from tests.integration.org import seeded
from tests.money import after, charge, dispute, events, invoice, said

PEOPLE = {"LastName": "Owner", "Email": "owner@example.com"}


def held(
    sandbox: LocalSalesforce, object_: str, external_id: str, key: str = STRIPE_ID_FIELD
) -> dict[str, Any]:
    store = sandbox.org.store
    (id_,) = store.find(object_, key, external_id)
    return dict(store.get(object_, id_) or {})


def failed(own: Settings | None = None) -> Write:
    told = events(
        ("invoice.payment_failed", invoice(attempt_count=1, amount_remaining=1000), 100),
    )
    return said(failed_payments.project, after(told, own or Settings())).writes["Task:in_1:payment"]


async def test_the_task_of_a_failed_payment_goes_to_the_accounts_owner(
    sandbox: LocalSalesforce, port: Client
) -> None:
    user = await seeded(sandbox, "User", Username="owner@example.com", **PEOPLE)
    owned = await seeded(sandbox, "Account", Name="Ada", OwnerId=user, **{CUSTOMER_ID_FIELD: "cus_1"})
    async with at_work(port) as desk:
        desk.put(failed())
        await desk.done()
    task = held(sandbox, "Task", "in_1:payment")
    assert (task["OwnerId"], task["WhatId"], task["IsHighPriority"], task["IsClosed"]) == (
        user,
        owned,
        True,
        False,
    )


async def test_an_inactive_owner_is_told_of_and_a_substitute_helps(
    sandbox: LocalSalesforce, port: Client
) -> None:
    user = await seeded(sandbox, "User", Username="owner@example.com", **PEOPLE)
    other = await seeded(sandbox, "User", Username="other@example.com", **PEOPLE)
    await seeded(sandbox, "Account", Name="Ada", OwnerId=user, **{CUSTOMER_ID_FIELD: "cus_1"})
    entity = sandbox.org.schema.entities["User"]
    _, locked = await sandbox.org.transact(lambda dml: dml.update(entity, user, {"IsActive": False}))
    sandbox.org.locks.free(locked)
    async with at_work(port) as desk:
        desk.put(failed())
        desk.put(account("cus_2"))
        told = {result.key: result for result in await desk.done()}
        assert told["Task:in_1:payment"].outcome == "dead-lettered"
        assert told["Account:cus_2"].outcome == "created"
        desk.put(failed(Settings(failed_payments={"fallback_owner": other})))  # type: ignore[arg-type]
        await desk.done()
    assert held(sandbox, "Task", "in_1:payment")["OwnerId"] == other


async def test_a_dispute_is_a_case_of_account_and_contact(sandbox: LocalSalesforce, port: Client) -> None:
    told = events(("charge.dispute.created", dispute("needs_response"), 120))
    case = said(disputes.project, after(told)).writes["Case:du_1"]
    async with at_work(port) as desk:
        desk.put(account("cus_1"), contact("cus_1"), case)
        await desk.done()
    opened = held(sandbox, "Case", "du_1")
    assert opened["AccountId"] == held(sandbox, "Account", "cus_1", CUSTOMER_ID_FIELD)["Id"]
    assert opened["ContactId"] == held(sandbox, "Contact", "cus_1", CUSTOMER_ID_FIELD)["Id"]
    assert opened["IsClosed"] is False


async def test_invoices_and_charges_as_records_of_custom_objects(
    sandbox: LocalSalesforce, port: Client
) -> None:
    key = {"type": "string", "length": 255, "external_id": True, "unique": True, "case_sensitive": True}
    parent = {"type": "reference", "to": ["Account"], "relationship": "Account__r"}
    amount = {"type": "currency", "precision": 18, "scale": 3}
    fields = {STRIPE_ID_FIELD: key, "Account__c": parent, "Amount__c": amount}
    sandbox.org.change_schema(
        {"Stripe_Invoice__c": {"fields": fields}, "Stripe_Charge__c": {"fields": fields}}
    )
    wanted = {"Name": "stripe_id", "Amount__c": "amount"}
    own = settings(mapping={**DEFAULT_MAPPING, "Stripe_Invoice__c": wanted, "Stripe_Charge__c": wanted})
    told = events(
        ("charge.succeeded", charge(), 100), ("invoice.paid", invoice("paid", amount_paid=1000), 100)
    )
    written = said(invoices.project, after(told, own)).writes
    async with at_work(port, config=own) as desk:
        desk.put(account("cus_1"), *written.values())
        assert {result.outcome for result in await desk.done()} == {"created"}
    ours = held(sandbox, "Account", "cus_1", CUSTOMER_ID_FIELD)["Id"]
    for object_, id_ in (("Stripe_Invoice__c", "in_1"), ("Stripe_Charge__c", "ch_1")):
        record = held(sandbox, object_, id_)
        assert (record["Account__c"], record["Amount__c"], record["Name"]) == (ours, 10.0, id_)
