"""Nothing outlives us: children that end with their parent, and orphans that come back to us. Linux only.

Elsewhere these do nothing; supervisor's own shutdown is then all there is.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
ORPHAN_GRACE_S = 10.0


def adopt_orphans() -> None:
    """From now on a descendant whose parent died becomes our child instead of init's, so that we can end it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> Callable[[], None]:
    """For `Popen(preexec_fn=)`: the child gets SIGTERM when we die, even by SIGKILL."""
    if sys.platform != "linux":
        return lambda: None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask_the_kernel() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask_the_kernel


def follow_parent() -> None:
    """This process gets SIGTERM when its parent dies, even by SIGKILL."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def end_orphans() -> None:
    """End every descendant that is left: politely, then not."""
    deadline = time.monotonic() + ORPHAN_GRACE_S
    signalled: set[int] = set()
    while left := descendants(os.getpid()):
        for pid in left:
            late = time.monotonic() > deadline
            if late or pid not in signalled:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        signalled.update(left)
        _reap()
        time.sleep(0.05)


def descendants(ancestor: int) -> set[int]:
    """The living processes below `ancestor`."""
    parents = dict(_parents())
    found: set[int] = set()
    fresh = {ancestor}
    while fresh:
        fresh = {pid for pid, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


def _parents() -> list[tuple[int, int]]:
    """(process, its parent) of every process that is not a zombie."""
    pairs = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue  # it ended while we were reading
        if state != "Z":
            pairs.append((int(stat.parent.name), int(parent)))
    return pairs


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
