"""Addresses to listen on."""

from __future__ import annotations

import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from stream import listen
from stream.listen import address, bind, free_port, parse
from stream.settings import SettingError

SETTING = ("gateway", "listen")


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("0.0.0.0:8080", "0.0.0.0", 8080), ("localhost:0", "localhost", 0), ("[::1]:65535", "::1", 65535)],  # noqa: S104
)
def test_host_and_port(text: str, host: str, port: int) -> None:
    assert parse(text, SETTING) == (host, port)


@pytest.mark.parametrize(
    "text", ["", "8080", ":8080", "host:", "host:http", "host:-1", "host:65536", "host:８０"]
)
def test_what_is_no_address_names_the_setting(text: str) -> None:
    with pytest.raises(SettingError, match=r"^GATEWAY_LISTEN: .* is not host:port"):
        parse(text, SETTING)


def test_port_0_takes_a_free_one_and_tells_it() -> None:
    with bind("127.0.0.1:0", SETTING) as bound:
        host, port = parse(address(bound), SETTING)
        assert (host, port) == ("127.0.0.1", bound.getsockname()[1])
        assert port > 0


def test_an_address_in_use_names_the_setting() -> None:
    with bind("127.0.0.1:0", SETTING) as first:
        first.listen()
        with pytest.raises(SettingError, match=r"^GATEWAY_LISTEN: cannot listen on 127\.0\.0\.1"):
            bind(address(first), SETTING)


def test_a_port_for_later_is_free_and_none_that_the_kernel_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    given = free_port()
    assert given < int(told[0])
    with bind("127.0.0.1:0", SETTING) as bound:
        bound.listen()
        taken = bound.getsockname()[1]
        offered = chain((given, taken), range(12_000, 32_000))
        monkeypatch.setattr("stream.listen.random.choice", lambda _: next(offered))
        assert free_port() not in (given, taken)
        assert next(offered) > 12_000, "both were passed over"


def test_ports_for_later_are_given_out_once_by_whatever_process() -> None:
    given = {free_port() for _ in range(30)}
    assert len(given) == 30
    child = "from stream import listen; print(*(int(listen._claim(int(port))) for port in input().split()))"
    asked = " ".join(map(str, given))
    told = subprocess.run(
        [sys.executable, "-c", child], input=asked, capture_output=True, text=True, check=True, timeout=60
    )
    assert set(told.stdout.split()) == {"0" if sys.platform == "linux" else "1"}
    for _ in range(200):
        free_port()  # what was given out long ago can be had again
    assert len(listen._claims) == 64


def test_a_shared_address_can_be_had_twice() -> None:
    with bind("127.0.0.1:0", SETTING, shared=True) as first:
        first.listen()
        with bind(address(first), SETTING, shared=True) as second:
            second.listen()
            assert address(first) == address(second)


def test_a_host_that_does_not_exist_names_the_setting() -> None:
    with pytest.raises(SettingError, match=r"^GATEWAY_LISTEN: cannot listen"):
        bind("192.0.2.1:0", SETTING)
