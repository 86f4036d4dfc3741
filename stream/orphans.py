"""No child outlives its parent, however the parent ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # prctl(2)


def die_with_parent(sign: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """A `preexec_fn` after which the kernel sends the child `sign` when the parent dies, even by `kill -9`.

    The signal is tied to the parent's thread, so children are to be started from its main thread. Linux only;
    elsewhere it does nothing, and a killed parent leaves its children to be stopped by hand.
    """
    parent = os.getpid()
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def ask_the_kernel() -> None:
        if libc is None:
            return
        libc.prctl(_PR_SET_PDEATHSIG, int(sign), 0, 0, 0)
        if os.getppid() != parent:  # the parent died between fork and prctl
            os.kill(os.getpid(), sign)

    return ask_the_kernel
