"""Bad input, from the webhook to Salesforce: each has a clear answer or dead letter, and the rest flows on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import requests

from stream.sandbox.salesforce import identifiers
from stream.settings import CUSTOMER_ID_FIELD, STRIPE_ID_FIELD
from tests.together import Together, event, together

NOW = 1_900_000_000
MISSING = identifiers.make("701", 4711)
CUSTOMERS = ("cus_currency", "cus_refund", "cus_nobody", "cus_owner", "cus_leaves")


def sign_up(running: Together, id_: str, **more: Any) -> None:
    customer = {"id": id_, "object": "customer", "email": f"{id_}@example.com", "currency": "usd", **more}
    assert running.post("customer.created", customer, created=NOW)[0] == 200


def charge(customer: str | None, id_: str, amount: int = 1000, currency: str = "usd") -> dict[str, Any]:
    told = {"id": id_, "object": "charge", "amount": amount, "currency": currency, "status": "succeeded"}
    return {
        **told,
        "paid": True,
        "captured": True,
        "amount_captured": amount,
        "created": NOW,
        "customer": customer,
    }


def invoice(customer: str | None, id_: str, status: str = "open") -> dict[str, Any]:
    told = {"id": id_, "object": "invoice", "currency": "usd", "customer": customer, "status": status}
    amounts = {"amount_due": 1000, "amount_remaining": 1000, "attempt_count": 1}
    return {**told, **amounts, "created": NOW, "number": id_.upper(), "lines": {"data": []}}


def subscription(customer: str, id_: str, **more: Any) -> dict[str, Any]:
    price: dict[str, Any] = {
        "id": "price_1",
        "currency": "usd",
        "product": "prod_1",
        "unit_amount_decimal": "900",
    }
    price |= {"recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"}}
    item = {
        "id": "si_1",
        "price": price,
        "quantity": 1,
        "current_period_start": NOW,
        "current_period_end": NOW + 99,
    }
    told = {"id": id_, "object": "subscription", "customer": customer, "currency": "usd", "status": "active"}
    return {**told, "created": NOW, "start_date": NOW, "items": {"data": [item]}, **more}


def deactivate(running: Together, user: str) -> None:
    """As an administrator does."""
    login = {"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox"}
    told = requests.post(f"{running.org}/services/oauth2/token", login, timeout=30).json()
    done = requests.patch(
        f"{running.org}/services/data/v60.0/sobjects/User/{user}",
        json={"IsActive": False},
        headers={"Authorization": f"Bearer {told['access_token']}"},
        timeout=30,
    )
    assert done.status_code == 204, done.text


def good(running: Together, customer: str, id_: str) -> None:
    """Something of the same customer that there is nothing wrong with."""
    assert running.post("charge.succeeded", charge(customer, id_, 700), created=NOW + 9)[0] == 200


def refused(running: Together) -> dict[str, dict[str, Any]]:
    """The dead letters by cause, once there is one for each bad input."""
    found: dict[str, dict[str, Any]] = {}

    def all_there() -> bool:
        found.update({letter["code"]: letter for letter in running.letters()})
        return len(found) >= 5

    running.until(all_there, "dead letters are missing")
    return found


def send_everything(running: Together) -> None:
    """Each bad thing of a customer of its own, followed by something good of the same customer."""
    sign_up(running, "cus_currency")
    running.post("charge.succeeded", charge("cus_currency", "ch_xyz", currency="xyz"), created=NOW)
    sign_up(running, "cus_refund")
    running.post("charge.succeeded", charge("cus_refund", "ch_small", 1000), created=NOW)
    refund = {"id": "re_large", "object": "refund", "amount": 1500, "currency": "usd", "status": "succeeded"}
    refund |= {"charge": "ch_small", "customer": "cus_refund", "created": NOW + 1}
    running.post("refund.created", refund, created=NOW + 1)
    sign_up(running, "cus_nobody")
    running.post("invoice.finalized", invoice(None, "in_nobody"))
    sign_up(running, "cus_owner", name="Owned")
    running.post("invoice.payment_failed", invoice("cus_owner", "in_owner"))
    sign_up(running, "cus_leaves")
    running.post("customer.subscription.created", subscription("cus_leaves", "sub_1"), created=NOW)
    gone = {"status": "canceled", "ended_at": NOW + 5, "canceled_at": NOW + 5}
    running.post(
        "customer.subscription.deleted", subscription("cus_leaves", "sub_1", **gone), created=NOW + 5
    )
    # What is no workflow's, and what is nobody's.
    assert running.post("lunar.landing", {"id": "moon_1", "object": "lunar"})[0] == 200
    assert running.post("charge.succeeded", charge(None, "ch_guest"))[0] == 200
    for customer in CUSTOMERS:
        good(running, customer, customer.replace("cus", "ch"))


def check_the_gateway(running: Together) -> None:
    """What is not Stripe's, or no event, is refused with the reason."""
    body = event("charge.succeeded", charge("cus_leaves", "ch_bad"))
    status, told = running.send(body, secret="whsec_other")
    assert (status, told["error"]) == (400, "bad_signature")
    status, told = running.send(body, at=int(time.time()) - 301)
    assert (status, told["error"]) == (400, "stale")
    status, told = running.send(body[:-20])
    assert (status, told["error"]) == (400, "unreadable")
    status, told = running.send(event("charge.succeeded", {"id": "ch_big", "padding": "x" * 2 * 1024 * 1024}))
    assert (status, told["error"]) == (413, "too_large")


def test_each_bad_input_is_told_and_the_rest_flows_on(tmp_path: Path) -> None:
    with together(tmp_path, CHURN_CAMPAIGN=MISSING) as running:
        user = {"LastName": "Gone", "Email": "gone@example.com", "Username": "gone@example.com"}
        (owner,) = running.sandbox("seed", {"User": [user]})["User"]
        known = {"Name": "Owned", "OwnerId": owner, CUSTOMER_ID_FIELD: "cus_owner"}
        running.sandbox("seed", {"Account": [known]})
        deactivate(running, owner)
        check_the_gateway(running)
        send_everything(running)
        for customer in CUSTOMERS:
            running.record("Task", STRIPE_ID_FIELD, customer.replace("cus", "ch"))
        letters = refused(running)
        accounts = {one[CUSTOMER_ID_FIELD]: one for one in running.records("Account")}
        tasks = {one[STRIPE_ID_FIELD] for one in running.records("Task")}
    assert letters.keys() == {
        "currency_unknown",
        "refund_exceeds_charge",
        "customer_unknown",
        "owner_inactive",
        "INVALID_CROSS_REFERENCE_KEY",
    }
    told = letters["currency_unknown"]["message"]
    assert "about ch_xyz is in `xyz`, which is no currency that Stripe documents" in told
    told = letters["refund_exceeds_charge"]["message"]
    assert "Refunds of charge ch_small come to 15.00 USD, but it took only 10.00 USD" in told
    told = letters["customer_unknown"]["message"]
    assert told.startswith("invoice.finalized about in_nobody names no customer")
    assert letters["owner_inactive"]["key"] == "Task:in_owner:payment"
    assert owner in letters["owner_inactive"]["message"]
    assert "FAILED_PAYMENTS_FALLBACK_OWNER" in letters["owner_inactive"]["message"]
    assert letters["INVALID_CROSS_REFERENCE_KEY"]["key"] == f"CampaignMember:cus_leaves:{MISSING}"
    assert "CHURN_CAMPAIGN" in letters["INVALID_CROSS_REFERENCE_KEY"]["message"]

    assert not tasks & {"ch_xyz", "ch_guest", "ch_bad", "in_nobody", "in_owner:payment"}
    assert "in_owner" in tasks
    assert accounts.keys() == set(CUSTOMERS)
    # What cannot be right is left out, or counted as far as it can be.
    value = "Stripe_Lifetime_Value__c"
    assert {key: accounts[key][value] for key in CUSTOMERS} == dict.fromkeys(CUSTOMERS, 7.0)
    assert accounts["cus_owner"]["Stripe_At_Risk__c"] is True
    assert accounts["cus_leaves"]["Stripe_Customer_Status__c"] == "Churned"
