"""What Linux does for a process that forks: no descendant outlives it, and none stays a zombie. Elsewhere: nothing."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

__all__ = ["adopt_orphans", "die_with_parent"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def die_with_parent(parent: int) -> None:
    """In a forked process, first of all: be killed when the thread that forked it ends, however (prctl(2)).

    Also when that has happened already. `parent` is the process id that the forking process had.
    """
    if _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) and os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Be the parent of what a child leaves behind, to wait for it: in a container nobody else may (prctl(2))."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    with contextlib.suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)
    return False
