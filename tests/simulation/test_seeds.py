"""Two thousand seeded runs: whatever goes wrong, Salesforce ends as the simulator's truth says."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.run import Wrong, simulate

SEEDS, SHARE = 2000, 50


@pytest.mark.parametrize("first", range(0, SEEDS, SHARE))
def test_seeds(first: int) -> None:
    failed = []
    for seed in range(first, first + SHARE):
        try:
            simulate(seed)
        except Wrong as wrong:
            failed.append(str(wrong))
    assert not failed, "\n\n".join(failed)


@pytest.mark.parametrize("hashes", ["1", "2"])
def test_a_seed_repeats_exactly_in_another_process(hashes: str) -> None:
    seeds = (3, 14)
    simulate(5)  # what was played before makes no difference
    here = [simulate(seed).digest for seed in seeds]
    code = f"from tests.simulation.run import simulate\nfor s in {seeds}: print(simulate(s).digest)"
    environment = {**os.environ, "PYTHONHASHSEED": hashes}
    there = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert there.stdout.split() == here
