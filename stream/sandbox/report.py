"""What a simulated run came to, beside what it should have."""

from __future__ import annotations

from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table

from stream.sandbox import expected, history
from stream.sandbox.expected import ambiguous, money, notices
from stream.sandbox.expected.customers import Record
from stream.sandbox.seed import Seeded
from stream.sandbox.stripe.delivery import Delivery
from stream.sandbox.stripe.world import World
from stream.settings import Kafka

Report = dict[str, Any]

LIFETIME, CURRENCY = "Stripe_Lifetime_Value__c", "Stripe_Currency__c"

# What a workflow is about.
_FAMILIES = ("customer", "customer.subscription")


async def judge(
    http: aiohttp.ClientSession,
    url: str,
    kafka: Kafka,
    world: World,
    delivery: Delivery,
    before: Seeded,
) -> Report:
    """What became of the events and what Salesforce holds, as numbers. Raises KafkaError, ClientError."""
    past = await history.read(kafka)
    salesforce: Report = {}
    parts: Report = {}
    for name, records in expected.records(world).items():
        records |= ambiguous.untouched(before.doubtful.get(name, {}))
        async with http.get(f"{url}/sandbox/records/{name}") as answer:
            answer.raise_for_status()
            held = expected.key_all(name, await answer.json())
            actual, wrong = expected.compare(records, held, before.kept.get(name, {}))
        salesforce[name] = _row(len(records), actual, wrong)
        if name == "Task":
            parts |= _tasks(records, held)
        if name == "Account":
            parts |= _values(records, held)
    async with http.get(f"{url}/sandbox/state") as answer:
        calls = (await answer.json())["api_usage"]["used"]
    refused, wrongly = ambiguous.set_aside(world, past.refused)
    return {
        "events": len(world.events),
        "events_sent": delivery.sent,
        "events_accepted": len(delivery.accepted_ids),
        "events_applied": len(past.confirmed),
        "events_ignored": len(past.kept.keys() - past.confirmed.keys() - past.set_aside),
        "undelivered": len(delivery.undelivered),
        "dead_letters": past.dead_letters.total(),
        "dead_letter_causes": dict(past.dead_letters.most_common()),
        "set_aside": _row(len(ambiguous.identities(world)), refused, wrongly),
        "lost": len(lost(world, delivery, past)),
        "salesforce": salesforce,
        "money": parts,
        "api_calls": calls,
        "end_to_end_seconds": {"p50": past.percentile(0.5), "p99": past.percentile(0.99)},
    }


def _task(key: str) -> str:
    """What a Task is about, by its Stripe ID."""
    if key.endswith(":payment"):
        return "failed payments"
    return "invoices" if key.startswith("in_") else "payments"


def _tasks(records: dict[str, Record], held: list[tuple[str, Record]]) -> Report:
    """The Tasks by what they are about."""
    rows = {}
    for name in ("invoices", "payments", "failed payments"):
        wanted = {key: record for key, record in records.items() if _task(key) == name}
        told = [(key, record) for key, record in held if _task(key) == name]
        rows[name] = _row(len(wanted), *expected.compare(wanted, told, {}))
    return rows


def _values(records: dict[str, Record], held: list[tuple[str, Record]]) -> Report:
    """Lifetime value, by the customers' currencies."""
    sums: dict[str, list[float]] = {}
    wrong: dict[str, list[str]] = {}
    actual = dict(held)
    for key, record in records.items():
        if not record.get(LIFETIME) and not record.get(CURRENCY):
            continue  # nobody has paid anything
        name = f"lifetime value {record.get(CURRENCY) or 'without a currency'}"
        value = (actual.get(key) or {}).get(LIFETIME)
        of = sums.setdefault(name, [0.0, 0.0])
        of[0] += record.get(LIFETIME) or 0.0
        of[1] += value or 0.0
        if value != record.get(LIFETIME):
            wrong.setdefault(name, []).append(f"{key}: {value} instead of {record.get(LIFETIME)}")
    # Floats are rounded to what currencies have at most: three decimals.
    return {
        name: _row(round(one, 3), round(other, 3), wrong.get(name, []))
        for name, (one, other) in sorted(sums.items())
    }


def lost(world: World, delivery: Delivery, past: history.History) -> set[str]:
    """Accepted events that are not on Kafka, or that a workflow is about and of which nothing became."""
    # What another workflow or none is about makes no record, but it is kept all the same.
    ours = {id_ for id_, type_ in past.kept.items() if type_.rpartition(".")[0] in _FAMILIES}
    ours |= past.kept.keys() & {event.id for event in world.events if money.concerns(event, world)}
    return (delivery.accepted_ids - past.kept.keys()) | (ours - past.confirmed.keys() - past.set_aside)


def told(world: World, messages: dict[str, list[str]], deaths: int) -> Report:
    """What people were told, by channel. Whenever the notifier died, one message on each channel may have been
    marked and not sent: nothing is told twice, so nobody tells it."""
    wanted = notices.notices(world)
    rows = {}
    for channel, said in messages.items():
        missing, surplus = notices.compare(wanted, said)
        cut_off, missing = missing[:deaths], missing[deaths:]
        rows[channel] = _row(len(wanted), len(said), [*surplus, *(f"not told: {it}" for it in missing)])
        rows[channel]["cut_off"] = len(cut_off)
    return rows


def _row(wanted: float, actual: float, wrong: list[str]) -> Report:
    return {"expected": wanted, "actual": actual, "wrong": len(wrong), "examples": wrong[:5]}


def _rows(report: Report) -> dict[str, Report]:
    """The final table."""
    channels = {f"told by {channel}": row for channel, row in report["told"].items()}
    return {**report["salesforce"], **report["money"], "customers set aside": report["set_aside"], **channels}


def agrees(report: Report) -> bool:
    """Whether all is as it should be."""
    return not (report["undelivered"] or report["lost"]) and all(
        row["wrong"] == 0 and row["actual"] + row.get("cut_off", 0) == row["expected"]
        for row in _rows(report).values()
    )


def show(console: Console, report: Report) -> None:
    """The final table, and what is wrong."""
    table = Table("Salesforce", "expected", "actual", "wrong")
    for name, row in _rows(report).items():
        table.add_row(name, *(f"{row[column]:,}" for column in ("expected", "actual", "wrong")))
    console.print(table)
    for name, row in _rows(report).items():
        for line in row["examples"]:
            console.print(f"{name} {line}", markup=False)
        if cut_off := row.get("cut_off"):
            console.print(f"{name}: {cut_off} cut off between mark and sending when the notifier was killed")
    causes = ", ".join(f"{code} {count}" for code, count in report["dead_letter_causes"].items())
    took = report["end_to_end_seconds"]
    console.print(
        f"{report['events_accepted']} of {report['events']} events accepted in {report['events_sent']} requests, "
        f"{report['events_applied']} applied, {report['events_ignored']} without a workflow, "
        f"{report['dead_letters']} dead letters{f' ({causes})' if causes else ''}, {report['lost']} lost; "
        f"{report['api_calls']} API calls; "
        f"received to confirmed: p50 {took['p50']} s, p99 {took['p99']} s."
    )
    if report["set_aside"]["expected"]:
        console.print(
            "Set aside is who could be several of Salesforce's records: nobody guesses (MATCHING_SEVERAL)."
        )
