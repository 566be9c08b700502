"""Which process has something, so that what a killed one left behind need not wait until its lease is over."""

import os
import socket
from contextlib import suppress
from pathlib import Path


def me() -> str:
    """This process, as rows remember it."""
    return f"{_here()}:{os.getpid()}"


def _here() -> str:
    """Where process numbers mean the same: containers may share a host's name, but then not its processes."""
    namespace = ""
    with suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return f"{socket.gethostname()}/{namespace}"


def is_gone(owner: str) -> bool:
    """Whether `owner` certainly runs no more. False for one elsewhere: there the lease decides."""
    place, _, pid = owner.rpartition(":")
    if place != _here() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return _has_ended(int(pid))


def _has_ended(pid: int) -> bool:
    """Whether its number is all that is left: whoever adopted a killed worker's child may never ask for its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except (OSError, IndexError):  # no Linux; or gone at this moment, which the next look will tell
        return False
