"""Addresses to listen on."""

from __future__ import annotations

from pathlib import Path

import pytest

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
    taken, free = free_port(), free_port()
    assert max(taken, free) < int(told[0])
    while free == taken:
        free = free_port()
    offered = iter((taken, taken, free))
    monkeypatch.setattr("stream.listen.random.choice", lambda _: next(offered))
    with bind(f"127.0.0.1:{taken}", SETTING) as bound:
        bound.listen()
        assert free_port() == free


def test_a_shared_address_can_be_had_twice() -> None:
    with bind("127.0.0.1:0", SETTING, shared=True) as first:
        first.listen()
        with bind(address(first), SETTING, shared=True) as second:
            second.listen()
            assert address(first) == address(second)


def test_a_host_that_does_not_exist_names_the_setting() -> None:
    with pytest.raises(SettingError, match=r"^GATEWAY_LISTEN: cannot listen"):
        bind("192.0.2.1:0", SETTING)
