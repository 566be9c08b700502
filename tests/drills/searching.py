"""What drills do meanwhile, and what they wait for."""

import itertools
import os
import threading
import time
from collections.abc import Callable
from typing import Self

from tests.stack import Stack

# With as many uploads as docs/reliability.md promises; by default a drill has fewer, and takes a minute at most.
LONG = os.environ.get("SIMSEARCH_LONG_DRILLS") == "1"


class InBackground:
    """Calls `step` with 0, 1, 2 … in some threads, from the beginning of a block to its end.

    Each thread pauses so long that its calls begin `pace_s` apart, or at once where one took longer.
    """

    def __init__(self, step: Callable[[int], None], threads: int, pace_s: float) -> None:
        self._step, self._pace_s = step, pace_s
        self._over, self._turns = threading.Event(), itertools.count()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            self._step(next(self._turns))
            self._over.wait(max(0.0, began + self._pace_s - time.monotonic()))


def wait_until(done: Callable[[], bool], stack: Stack, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while not done():
        assert time.monotonic() < deadline, stack.output()
        time.sleep(0.1)
