"""No orphans: what a test starts ends even when the tests themselves are killed."""

from __future__ import annotations

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def end_with_parent() -> None:
    """For ``preexec_fn``: let the kernel kill this process when its parent ends.

    Linux only; elsewhere a killed test run may leave processes behind.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
