"""The writer stage: `python -m stream.salesforce`."""

from __future__ import annotations

import sys

from stream.hold import holdable
from stream.salesforce.writer import writer
from stream.stage import main

if __name__ == "__main__":
    sys.exit(main(holdable("writer", writer)))
