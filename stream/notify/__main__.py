"""The notifier stage: `python -m stream.notify`."""

from __future__ import annotations

import sys

from stream.notify.notifier import notifier
from stream.stage import main

if __name__ == "__main__":
    sys.exit(main(notifier))
