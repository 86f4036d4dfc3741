from __future__ import annotations

from stream.sandbox.salesforce.quota import Quota

HOUR = 3600.0


def test_uses_are_forgotten_after_a_day() -> None:
    now = 0.0
    quota = Quota(lambda: now)
    quota.use(3)
    now = 1 * HOUR
    quota.use()
    quota.use(0)
    assert quota.used == 4
    now = 24 * HOUR
    assert quota.used == 1
    now = 25 * HOUR
    assert quota.used == 0
    quota.set(7)
    assert quota.used == 7
    quota.set(0)
    assert quota.used == 0
