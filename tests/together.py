"""`revstream up --sandbox` as its user runs it, and what a person can see of it from outside."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import requests

from stream.listen import free_address
from stream.stripe.signature import HEADER, sign

DEADLINE = 180.0
SECRET = "whsec_together"
_LISTENERS = ("GATEWAY", "GATEWAY_METRICS", "PROJECTOR_METRICS", "WRITER_METRICS", "NOTIFY_METRICS")

_numbers = itertools.count(1)


class Together:
    """A running group. `org` and `kafka` are addresses, `state` is its folder."""

    def __init__(self, state: Path, gateway: str, org: str, kafka: str) -> None:
        self.state = state
        self.org = org
        self.kafka = kafka
        self._webhooks = f"http://{gateway}/webhooks/stripe"

    # Stripe's side

    def post(self, type_: str, thing: Mapping[str, Any], **more: Any) -> tuple[int, dict[str, Any]]:
        """Sends an event: status and body of the answer."""
        return self.send(event(type_, thing, **more))

    def send(self, body: bytes, secret: str = SECRET, at: int | None = None) -> tuple[int, dict[str, Any]]:
        """Sends a body, signed: status and body of the answer."""
        headers = {HEADER: sign(body, secret, int(time.time()) if at is None else at)}
        answer = requests.post(self._webhooks, body, headers=headers, timeout=30)
        told: dict[str, Any] = answer.json()
        return answer.status_code, told

    # Salesforce's side

    def records(self, name: str) -> list[dict[str, Any]]:
        """All records of an object."""
        found: list[dict[str, Any]] = self.sandbox(f"records/{name}")
        return found

    def record(self, name: str, key: str, value: str) -> dict[str, Any]:
        """The record with this value in a field, once it is there."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = [one for one in self.records(name) if one.get(key) == value]
            return bool(found)

        self.until(there, f"{name} {value} is not there")
        return found[0]

    def sandbox(self, path: str, body: Any = None, method: str = "POST") -> Any:
        """A call of the local Salesforce's `/sandbox`."""
        method = "GET" if body is None else method
        answer = requests.request(method, f"{self.org}/sandbox/{path}", json=body, timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    # The operator's side

    def letters(self) -> list[dict[str, Any]]:
        """The dead letters, as the command lists them."""
        env = {**os.environ, "KAFKA_BROKERS": self.kafka, "REVSTREAM_STATE_DIR": str(self.state)}
        command = [sys.executable, "-m", "stream.cli", "dead-letters", "list", "--json"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        found: list[dict[str, Any]] = json.loads(done.stdout)["letters"]
        return found

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return (self.state / "log").read_text()

    def until(self, holds: Callable[[], bool], otherwise: str) -> None:
        """Waits for a condition."""
        deadline = time.monotonic() + DEADLINE
        while not holds():
            assert time.monotonic() < deadline, f"{otherwise}\n{self.log}"
            time.sleep(0.05)


def event(type_: str, thing: Mapping[str, Any], created: int | None = None, **more: Any) -> bytes:
    """An event's body."""
    at = int(time.time()) if created is None else created
    told = {"id": f"evt_{next(_numbers):08d}", "object": "event", "api_version": "2026-09-30.endive"}
    return msgspec.json.encode({**told, "type": type_, "created": at, "data": {"object": thing}, **more})


@contextmanager
def together(state: Path, **settings: str) -> Iterator[Together]:
    """Runs it until the block ends."""
    state.mkdir(parents=True, exist_ok=True)
    listeners = {f"{name}_LISTEN": free_address() for name in _LISTENERS}
    env = {
        **os.environ,
        **listeners,
        "STRIPE_WEBHOOK_SECRETS": SECRET,
        "REVSTREAM_STATE_DIR": str(state),
        **settings,
    }
    with (state / "out").open("wb") as out, (state / "log").open("wb") as log:
        command = [sys.executable, "-m", "stream.cli", "up", "--sandbox"]
        process = subprocess.Popen(command, env=env, stdout=out, stderr=log)
    try:
        for name, address in listeners.items():
            if name.endswith("METRICS_LISTEN"):
                _await_ready(process, address, state)
        lines = [line.split() for line in (state / "out").read_text().splitlines()]
        words = {line[0]: line[1] for line in lines if len(line) > 1}
        org = words["Salesforce"].removesuffix("/sandbox/state")
        yield Together(state, listeners["GATEWAY_LISTEN"], org, words["Kafka"])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE)


def _await_ready(process: subprocess.Popen[bytes], address: str, state: Path) -> None:
    deadline = time.monotonic() + DEADLINE
    while True:
        assert process.poll() is None, (state / "log").read_text()
        assert time.monotonic() < deadline, (state / "log").read_text()
        try:
            if requests.get(f"http://{address}/readyz", timeout=5).ok:
                return
        except requests.ConnectionError:
            pass  # it does not listen yet
        time.sleep(0.1)
