"""The checker's own test: mistakes planted into the real code, which it has to find."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.mutations import MUTATIONS, Planted
from tests.simulation.run import Wrong, simulate
from tests.simulation.test_seeds import SEEDS


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_planted_mistake_is_found(mutation: Callable[[], Planted]) -> None:
    within = MUTATIONS[mutation]
    assert within <= SEEDS, "without the mistake these seeds pass: that is tested with the others"
    with mutation():
        found = next((seed for seed in range(within) if _fails(seed)), None)
    assert found is not None, f"{mutation.__name__} is not found by the first {within} seeds"


def _fails(seed: int) -> bool:
    try:
        simulate(seed)
    except Wrong:
        return True
    return False
