"""`revstream pause` and `resume`, heeded by a running writer and by one that starts later."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from stream.control import Closed, Orders, Pause, encode
from stream.listen import free_address
from stream.sandbox.salesforce import LocalSalesforce
from tests.fakes.writes import account, contact
from tests.integration.test_offsets import OLD, revstream
from tests.integration.test_projector import customer, projector, send, writes
from tests.integration.test_writer import Line, until, writer


async def test_a_pause_holds_over_a_restart_until_it_is_taken_back(
    topics: str, sandbox: LocalSalesforce
) -> None:
    code, told, _ = await revstream(topics, "pause", "--object", "Contact", "--reason", "bad mapping")
    assert (code, told) == (0, {"paused": {"Contact": "bad mapping"}, "stages": {}})
    async with Line(topics) as line:
        async with writer(line, sandbox):
            await line.put(account("cus_1"), contact("cus_1"))
            await line.until(1)
        async with writer(line, sandbox):
            await line.put(account("cus_2"), contact("cus_2"))
            held = await line.until(2)
            assert {result.object for result in held} == {"Account"}
            code, told, _ = await revstream(topics, "resume")
            assert (code, told) == (0, {"paused": {}, "stages": {}})
            assert {result.object for result in (await line.until(4))[2:]} == {"Contact"}
            code, _, _ = await revstream(topics, "pause", "--reason", "maintenance")
            assert code == 0


async def test_only_what_is_written_can_be_paused_and_what_is_paused_resumed(topics: str) -> None:
    code, _, error = await revstream(topics, "pause", "--object", "Cat", "--reason", "why not")
    assert code == 2
    assert "Account, Contact" in error
    code, _, error = await revstream(topics, "resume", "--object", "Account")
    assert code == 2
    assert "Account is not paused" in error


async def test_a_held_stage_leaves_its_group_so_that_offsets_move_and_comes_back(
    topics: str, tmp_path: Path
) -> None:
    listen = free_address()

    async def waits() -> bool:
        try:
            async with aiohttp.ClientSession() as client, client.get(f"http://{listen}/readyz") as answer:
                told = (answer.status, await answer.text())
        except aiohttp.ClientError:  # between the old process and the new one
            return False
        return told == (503, "The projector is held by an operator (replay).\n")

    async def left() -> bool:
        code, shown, _ = await revstream(topics, "offsets", "show")
        return code == 0 and shown["members"] == []

    await send(topics, customer("cus_1", OLD))
    async with projector(topics, tmp_path, PROJECTOR_METRICS_LISTEN=listen) as process:
        await writes(topics, 2)
        code, told, _ = await revstream(topics, "pause", "--stage", "projector", "--reason", "replay")
        assert (code, told) == (0, {"paused": {}, "stages": {"projector": "replay"}})
        await until(left)
        plan = str(tmp_path / "plan.json")
        code, told, _ = await revstream(topics, "offsets", "plan", "--to-earliest", "--out", plan)
        assert (code, told["again"]) == (0, 1)
        code, _, error = await revstream(topics, "offsets", "apply", plan, "--yes")
        assert (code, error) == (0, "")
        await until(waits)
        assert (await revstream(topics, "resume", "--stage", "projector"))[0] == 0
        assert len(await writes(topics, 4)) == 4
        assert process.returncode is None, "it is the same process for whoever supervises it"


def test_orders_are_read_and_taken_back() -> None:
    orders = Orders()
    pause, closed = Pause("all", "why", 1), Closed(3, 100, "discarded", "why", 1)
    for order in (pause, closed):
        assert orders.read(order.key.encode(), encode(order))
    assert orders.paused == {"all": "why"}
    assert orders.closed == {(3, 100): closed}
    assert orders.read(pause.key.encode(), None)
    assert orders.paused == {}
    assert not orders.read(b"new:thing", b'{"type":"thing"}')
    assert not orders.read(b"broken", b"{")
    assert list(orders.all) == [closed.key]
