"""What processes cost: CPU seconds and memory, by what they are."""

from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import psutil

# Parts of a command line -> the name of that kind of process; the first that fits.
KINDS = {
    "gunicorn": "web",
    "--queues search": "search worker",
    "--queues gallery": "gallery worker",
    " flower ": "Flower",
    "redis": "Redis",
}
OTHER = "starter and supervisor"


def kind(process: psutil.Process) -> str:
    """Name what a process of the system is."""
    with suppress(psutil.Error):
        command = " ".join(process.cmdline())
        return next((name for part, name in KINDS.items() if part in command), OTHER)
    return OTHER


def tree(pid: int) -> list[psutil.Process]:
    """Return the process and everything below it."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def cpu_s(pid: int) -> dict[str, float]:
    """Return CPU seconds so far, user and system, by kind, of the process and everything below it."""
    spent: dict[str, float] = defaultdict(float)
    for process in tree(pid):
        with suppress(psutil.Error):
            times = process.cpu_times()
            spent[kind(process)] += times.user + times.system
    return dict(spent)


def peak_mb(pid: int) -> dict[str, float]:
    """Return the highest resident memory (VmHWM, with shared pages) of the largest process of each kind."""
    largest: dict[str, float] = defaultdict(float)
    for process in tree(pid):
        with suppress(psutil.Error, OSError, StopIteration):
            name = kind(process)
            largest[name] = max(largest[name], _high_water_mb(process))
    return dict(largest)


def pss_mb(pid: int) -> dict[str, float]:
    """Return the memory of all processes of each kind (PSS: a page that n processes share counts 1/n in each)."""
    memory: dict[str, float] = defaultdict(float)
    for process in tree(pid):
        with suppress(psutil.Error):
            memory[kind(process)] += process.memory_full_info().pss / 2**20
    return dict(memory)


def _high_water_mb(process: psutil.Process) -> float:
    with Path(f"/proc/{process.pid}/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
