"""`python -m tests.simulation 1000-2000`: plays seeds, tells of those that fail. One alone says what it does."""

from __future__ import annotations

import logging
import sys
import time

from tests.simulation.run import Wrong, simulate


def main(seeds: str) -> int:
    """1 when a seed fails."""
    first, _, last = seeds.partition("-")
    span = range(int(first), int(last or first) + 1)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    began, failed = time.monotonic(), 0
    for seed in span:
        try:
            run = simulate(seed, logging.NOTSET if len(span) == 1 else logging.CRITICAL)
        except Wrong as wrong:
            failed += 1
            print(wrong, flush=True)
        else:
            if len(span) == 1:
                print(f"Faults: {run.story}\nDigest: {run.digest}")
    print(f"{len(span)} seeds in {time.monotonic() - began:.0f} s, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
