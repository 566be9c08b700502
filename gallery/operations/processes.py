"""The identity and liveness of processes, so that the leases of a killed one are released early."""

import functools
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import redis

from gallery.operations import workers

MACHINE_ID = Path("/etc/machine-id")


def current() -> str:
    """Return the name of this process, as rows keep it."""
    return f"{_host_and_namespace()}:{os.getpid()}"


@functools.cache
def _host_and_namespace() -> str:
    """Return the namespace of process ids: containers, and by accident machines, may share a host's name."""
    namespace = machine = ""
    with suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    with suppress(OSError):
        machine = MACHINE_ID.read_text().strip()[:32]
    return f"{socket.gethostname()}/{namespace}/{machine}"


def gone(names: Iterable[str]) -> list[str]:
    """Return which of these processes have ended: on this host by the kernel, on others by their heartbeats.

    Where Redis is away or has forgotten a process of another host, the lease decides.
    """
    strangers, ended = [], []
    for name in dict.fromkeys(names):
        if not _is_of_this_host(name):
            strangers.append(name)
        elif is_gone(name):
            ended.append(name)
    if strangers:
        with suppress(redis.RedisError):
            ended += workers.silent(strangers)
    return ended


def _is_of_this_host(name: str) -> bool:
    return name.rpartition(":")[0] == _host_and_namespace()


def is_gone(name: str) -> bool:
    """Tell whether this process of this host has ended; False for one of another host."""
    pid = name.rpartition(":")[2]
    if not _is_of_this_host(name) or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    try:  # a zombie has ended, too: the process that adopted a killed worker's child may never reap it
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except (OSError, IndexError):  # no Linux; or it ended at this moment, which the next call sees
        return False
