"""The fake Salesforce behaves as the real one in all that the writer relies on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes.salesforce import FakeSalesforce
from tests.fakes.salesforce_port import SalesforcePort


class TestFake(SalesforcePort):
    @pytest.fixture
    def port(self) -> FakeSalesforce:
        return FakeSalesforce()

    async def seed(self, port: FakeSalesforce, object_: str, **fields: Any) -> str:
        return port.seed(object_, **fields)
