"""Payloads about money, and what the workflows make of them, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from agents.events import Event, State, fold
from agents.touched import Refusal, Touched
from stream.records import Notice, Write
from stream.settings import Settings
from tests.touched import SETTINGS, event, touched

CUSTOMER = {"id": "cus_1", "name": "Ada Lovelace", "email": "ada@example.com", "currency": "usd"}


def charge(id_: str = "ch_1", amount: int = 1000, **more: Any) -> dict[str, Any]:
    told = {"id": id_, "amount": amount, "currency": "usd", "status": "succeeded", "paid": True}
    return {**told, "captured": True, "amount_captured": amount, "created": 100, "customer": "cus_1", **more}


def refund(id_: str = "re_1", amount: int = 300, **more: Any) -> dict[str, Any]:
    told = {"id": id_, "amount": amount, "currency": "usd", "status": "succeeded", "charge": "ch_1"}
    return {**told, "created": 110, "customer": "cus_1", **more}


def dispute(status: str = "lost", **more: Any) -> dict[str, Any]:
    told = {"id": "du_1", "amount": 1000, "currency": "usd", "status": status, "charge": "ch_1"}
    return {**told, "created": 120, **more}


def invoice(status: str = "open", **more: Any) -> dict[str, Any]:
    told = {"id": "in_1", "currency": "usd", "customer": "cus_1", "status": status, "amount_due": 1000}
    return {**told, "created": 90, "number": "RS-1", **more}


def note(status: str = "issued", **more: Any) -> dict[str, Any]:
    told = {"id": "cn_1", "invoice": "in_1", "currency": "usd", "customer": "cus_1", "status": status}
    return {**told, "total": 500, "created": 130, **more}


def warning(**more: Any) -> dict[str, Any]:
    told = {"id": "issfr_1", "charge": "ch_1", "fraud_type": "made_with_stolen_card", "actionable": True}
    return {**told, "created": 115, **more}


def events(*told: tuple[Any, ...]) -> tuple[Event, ...]:
    """Events in this order: type, object, Stripe's time."""
    return tuple(
        event(type_, object_, created=created, offset=number)
        for number, (type_, object_, created) in enumerate(told)
    )


def after(told: Iterable[Event], settings: Settings = SETTINGS, about: int | None = None) -> Touched:
    """The customer after these events; the chunk holds the last `about` of them, or all."""
    known = tuple(told)
    state = fold(State(), event("customer.created", CUSTOMER, created=1))
    for one in known:
        state = fold(state, one)
    return touched(state, events=known if about is None else known[-about:], settings=settings)


class Said(msgspec.Struct):
    """What a workflow answered."""

    writes: dict[str, Write] = {}
    notices: list[Notice] = []
    refusals: list[Refusal] = []

    def fields(self, key: str) -> dict[str, Any]:
        """The fields of one record."""
        return dict(self.writes[key].fields)


def said(project: Callable[[Touched], Iterable[Any]], it: Touched) -> Said:
    """The answers of a workflow, by kind."""
    found = Said()
    for one in project(it):
        match one:
            case Write():
                assert one.key not in found.writes, "a record is written twice"
                found.writes[one.key] = one
            case Notice():
                found.notices.append(one)
            case Refusal():
                found.refusals.append(one)
    return found
