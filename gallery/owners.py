"""Which process has something, so that what a killed one left behind need not wait until its lease is over."""

import os
import socket


def me() -> str:
    """This process, as rows remember it."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_gone(owner: str) -> bool:
    """Whether `owner` certainly runs no more. False for another host's: there the lease decides."""
    host, _, pid = owner.rpartition(":")
    if host != socket.gethostname() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
