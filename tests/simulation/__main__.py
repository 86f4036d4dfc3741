"""`python -m tests.simulation 1000-2000`: plays seeds, and names those that fail."""

from __future__ import annotations

import logging
import sys
import time

from tests.simulation.run import Wrong, simulate


def main(seeds: str) -> int:
    """1 when a seed fails."""
    first, _, last = seeds.partition("-")
    logging.disable(logging.CRITICAL)
    began, failed = time.monotonic(), 0
    span = range(int(first), int(last or first) + 1)
    for seed in span:
        try:
            simulate(seed)
        except Wrong as wrong:
            failed += 1
            print(wrong, flush=True)
    print(f"{len(span)} seeds in {time.monotonic() - began:.0f} s, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
