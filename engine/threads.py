"""How many cores one process takes: to decode, and for a forward pass on the CPU."""

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import torch

MOST_ALONE = 4  # no machine with more than two cores was measured
# Threads of one process that decode for a GPU: 16 cores decoded 970, 1,780, 2,410, 1,860 and 1,440 photographs a second
# in 1, 2, 4, 8 and 16 of them. They share Python's lock for the rest of what they do.
MOST_DECODING = 4
TRIES = 8  # the newest of them count
AGAIN = 40  # every so many pictures another number of threads is tried once more


def feeding(device: str) -> int:
    """How many threads prepare batches for a network on that device; on the CPU they also calculate, one per core."""
    cores = os.cpu_count() or 1
    return cores if device == "cpu" else min(MOST_DECODING, cores)


class Alone:
    """Calculates in as many threads as were quickest lately, in a process whose pass is the only work that there is.

    Two cores embed a picture in 0.7 to 1.3 of the time of one: that depends on the processor, on the network, and on
    whether the kernel puts a thread that wakes up onto a core of its own. So the pictures that come find it out.

    There is one thread where threads spin while they wait for each other, as OpenMP's do by default: those take many
    times as long once something else wants a core. OMP_WAIT_POLICY=passive lets them sleep; it is read when torch is
    loaded.
    """

    def __init__(self) -> None:
        usual = torch.get_num_threads()
        sleep = os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive"
        most = max(usual, min(MOST_ALONE, os.cpu_count() or 1)) if sleep else usual
        self._took_s = {threads: deque[float](maxlen=TRIES) for threads in sorted({usual, most})}
        self._usual, self._count = usual, 0

    @property
    def choices(self) -> list[int]:
        """The numbers of threads that are tried."""
        return list(self._took_s)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Embed one picture within; how long it takes is remembered."""
        threads, start = self._next(), time.perf_counter()
        torch.set_num_threads(threads)
        try:
            yield
            self._took_s[threads].append(time.perf_counter() - start)
        finally:
            torch.set_num_threads(self._usual)

    def _next(self) -> int:
        self._count += 1
        rarest = min(self._took_s, key=lambda threads: len(self._took_s[threads]))
        if len(self._took_s[rarest]) < TRIES:
            return rarest
        quickest = min(self._took_s, key=lambda threads: median(self._took_s[threads]))
        others = [threads for threads in self._took_s if threads != quickest]
        return others[0] if others and self._count % AGAIN == 0 else quickest
