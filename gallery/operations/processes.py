"""The identity and liveness of processes, so that the leases of a killed one are released early."""

import os
import socket
from contextlib import suppress
from pathlib import Path


def current() -> str:
    """Return the name of this process, as rows keep it."""
    return f"{_host_and_namespace()}:{os.getpid()}"


def _host_and_namespace() -> str:
    """Return where process ids mean the same: containers may share a host's name, but not its process ids."""
    namespace = ""
    with suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return f"{socket.gethostname()}/{namespace}"


def is_gone(name: str) -> bool:
    """Tell whether this process has certainly ended. False for one of another host: there the lease decides."""
    place, _, pid = name.rpartition(":")
    if place != _host_and_namespace() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return _has_ended(int(pid))


def _has_ended(pid: int) -> bool:
    """Tell whether it is a zombie: the process that adopted a killed worker's child may never reap it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except (OSError, IndexError):  # no Linux; or it ended at this moment, which the next call will see
        return False
