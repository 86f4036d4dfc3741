"""The internal port."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from stream.internal import InternalServer
from stream.settings import SettingError

SETTING = ("projector", "metrics_listen")


class Stage:
    trouble: str | None = None

    def __init__(self) -> None:
        self.server = InternalServer("127.0.0.1:0", SETTING, lambda: self.trouble)

    async def get(self, path: str, **headers: str) -> tuple[int, str, str]:
        url = f"http://{self.server.address}{path}"
        async with aiohttp.ClientSession() as client, client.get(url, headers=headers) as answer:
            return answer.status, answer.headers["Content-Type"], await answer.text()


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    await stage.server.start()
    yield stage
    await stage.server.stop()


async def test_it_is_alive_whether_it_is_ready_or_not(stage: Stage) -> None:
    assert (await stage.get("/livez"))[0] == 200
    assert (await stage.get("/readyz"))[::2] == (200, "ready\n")
    stage.trouble = "Kafka is away."
    assert (await stage.get("/livez"))[0] == 200
    assert (await stage.get("/readyz"))[::2] == (503, "Kafka is away.\n")


async def test_metrics_come_in_the_format_that_is_asked_for(stage: Stage) -> None:
    status, content_type, text = await stage.get("/metrics")
    assert status == 200
    assert content_type.startswith("text/plain; version=")
    assert "# TYPE revstream_http_requests_total counter" in text
    assert "revstream_build_info{" in text
    assert "_created" not in text
    _, content_type, text = await stage.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")


async def test_nothing_else_is_there(stage: Stage) -> None:
    assert (await stage.get("/"))[0] == 404


async def test_a_taken_address_names_the_setting(stage: Stage) -> None:
    with pytest.raises(SettingError, match=r"^PROJECTOR_METRICS_LISTEN: cannot listen on 127\.0\.0\.1"):
        InternalServer(stage.server.address, SETTING, lambda: None)
