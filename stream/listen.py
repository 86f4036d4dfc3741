"""Addresses to listen on, as settings give them: `host:port`, `[::1]:port`; port 0 takes a free one."""

from __future__ import annotations

import os
import random
import socket
import sys
from collections import deque

from stream.settings import SettingError, missing

# Connections that the kernel completes and keeps while the process is busy: the same as Linux' own maximum.
BACKLOG = 4096

# Below the ports that systems give to outgoing connections and for port 0 (Linux from 32768 on).
_LASTING = range(12_000, 32_000)

# The ports that were given out last, with what keeps them from being given out again meanwhile. Until something
# listens on a port, nobody else sees that it is taken: of ten for one start two were the same once in 400 times.
_GIVEN = 64
_claims: deque[tuple[int, int | None]] = deque()


def parse(listen: str, setting: tuple[str, str]) -> tuple[str, int]:
    """Host and port. Raises SettingError naming the setting (its section and field) the text came from."""
    host, colon, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise missing(*setting, f"{listen!r} is not host:port")
    return host, int(port)


def bind(listen: str, setting: tuple[str, str], *, shared: bool = False) -> socket.socket:
    """A TCP socket bound to the address, not listening yet.

    `shared` lets more processes bind the same address; the kernel spreads new connections over those that
    listen (SO_REUSEPORT). Raises SettingError when the address cannot be had.
    """
    host, port = parse(listen, setting)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _unavailable(listen, setting, error) from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.setblocking(False)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise _unavailable(listen, setting, error) from None
    return bound


def free_port() -> int:
    """A port of loopback for a process that is yet to start, or that comes back: nothing listens on it right now,
    and no client or listener elsewhere is given it meanwhile, as happens with one that port 0 gave."""
    while True:
        port = random.choice(_LASTING)
        if not _claim(port):
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _claim(port: int) -> bool:
    """Whether neither this process nor, on Linux, another one gave the port out a short while ago."""
    if any(port == given for given, _ in _claims):
        return False
    held: int | None = None
    if sys.platform == "linux":
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0revstream.port.{port}")  # a name without a file, which ends with the process
        except OSError:
            claim.close()
            return False
        held = claim.detach()
    if len(_claims) == _GIVEN:
        _, oldest = _claims.popleft()
        if oldest is not None:
            os.close(oldest)
    _claims.append((port, held))
    return True


def free_address() -> str:
    """`host:port` of a `free_port`."""
    return f"127.0.0.1:{free_port()}"


def _unavailable(listen: str, setting: tuple[str, str], error: OSError) -> SettingError:
    return missing(*setting, f"cannot listen on {listen}: {error.strerror or error}")


def address(bound: socket.socket) -> str:
    """`host:port` of a bound socket, with the port that it really has."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
