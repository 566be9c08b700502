"""End child processes when their parent ends in any way. Only on Linux."""

import ctypes
import os
import signal
import sys
from contextlib import suppress

import psutil

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 10.0


def adopt_orphans() -> None:
    """Make a descendant whose parent dies a child of this process instead of init's."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def follow_parent(parent: int | None = None) -> None:
    """Get SIGTERM when the parent dies, even by SIGKILL. Exit where `parent` has died already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if parent not in (None, os.getppid()):
            sys.exit(1)


def end_descendants() -> None:
    """End every descendant of this process: with SIGTERM, and after a grace period with SIGKILL."""
    left = psutil.Process().children(recursive=True)
    _send(left, signal.SIGTERM)
    psutil.wait_procs(left, timeout=GRACE_S)
    while left := psutil.Process().children(recursive=True):
        _send(left, signal.SIGKILL)
        psutil.wait_procs(left, timeout=1)


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
