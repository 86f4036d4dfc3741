"""The fault proxy of the chaos run does to real connections what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos import proxy as proxies
from tests.chaos.proxy import Proxy

DEADLINE = 30.0
LINE = b"x" * 1000 + b"\n"

OPEN: list[asyncio.StreamWriter] = []

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest_asyncio.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """Before a server that says every line again."""

    serving: list[asyncio.Task[None]] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.append(task)
        try:
            while line := await reader.readline():
                writer.write(line)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    proxy = Proxy(f"{host}:{port}")
    await proxy.start()
    yield proxy
    for writer in OPEN:
        writer.transport.abort()
    OPEN.clear()
    await proxy.stop()
    server.close()
    await asyncio.wait_for(asyncio.gather(*serving), DEADLINE)


async def connect(address: str) -> Ends:
    host, _, port = address.rpartition(":")
    ends = await asyncio.open_connection(host, int(port))
    OPEN.append(ends[1])
    return ends


async def say(ends: Ends) -> bytes:
    reader, writer = ends
    writer.write(LINE)
    return await reader.readline()


async def test_a_healthy_one_passes_everything_and_the_end(proxy: Proxy) -> None:
    reader, writer = ends = await connect(proxy.address)
    assert [await say(ends) for _ in range(3)] == [LINE] * 3
    writer.write_eof()
    assert await reader.read() == b""


@pytest.mark.parametrize(("ill", "name"), [("slow", "SLOW_SECONDS"), ("thin", "THIN_BYTES")])
async def test_a_slow_or_thin_one_passes_everything_later(
    proxy: Proxy, ill: proxies.Ill, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxies, name, getattr(proxies, name) / 10)
    slept: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr("tests.chaos.proxy.asyncio.sleep", note)
    ends = await connect(proxy.address)
    await proxy.sicken(ill)
    assert await say(ends) == LINE
    wanted = 2 * proxies.SLOW_SECONDS if ill == "slow" else 2 * len(LINE) / proxies.THIN_BYTES
    assert sum(slept) == pytest.approx(wanted)


async def test_a_resetting_one_breaks_off_in_the_middle(proxy: Proxy) -> None:
    await proxy.sicken("resetting")
    ends = await connect(proxy.address)
    assert await say(ends) == LINE  # twice 1,001 bytes
    with pytest.raises(ConnectionResetError):
        await say(ends)
    await proxy.sicken("healthy")
    assert await say(await connect(proxy.address)) == LINE


async def test_a_cut_one_refuses_until_it_heals_on_the_same_port(proxy: Proxy) -> None:
    address = proxy.address
    ends = await connect(address)
    assert await say(ends) == LINE
    await proxy.sicken("cut")
    with pytest.raises(ConnectionResetError):
        await ends[0].readline()
    with pytest.raises(ConnectionRefusedError):
        await connect(proxy.address)
    await proxy.sicken("healthy")
    assert proxy.address == address
    assert await say(await connect(proxy.address)) == LINE


async def test_a_silent_one_says_nothing_until_it_heals(proxy: Proxy) -> None:
    ends = await connect(proxy.address)
    await proxy.sicken("silent")
    answer = asyncio.create_task(say(ends))
    assert await say(await connect(f"127.0.0.1:{proxy._target[1]}")) == LINE  # the server itself is well
    assert not answer.done()
    await proxy.sicken("healthy")
    with pytest.raises(ConnectionResetError):
        await answer
    assert await say(await connect(proxy.address)) == LINE


async def test_a_half_closed_one_ends_the_answers_and_takes_what_comes(proxy: Proxy) -> None:
    ends = await connect(proxy.address)
    assert await say(ends) == LINE
    await proxy.sicken("half-closed")
    assert await ends[0].read() == b""
    ends[1].write(LINE)
    await ends[1].drain()
    await proxy.sicken("healthy")
    assert await say(await connect(proxy.address)) == LINE


async def test_a_server_that_is_down_refuses(proxy: Proxy) -> None:
    proxy._target = ("127.0.0.1", 1)
    ends = await connect(proxy.address)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await ends[0].readexactly(1)
