"""What drills do in the background, and what they wait for."""

import itertools
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

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


@dataclass
class Asked:
    """One search by the copy of a picture, which has this name: when (seconds since the epoch), and what came."""

    name: str
    at: float
    done_at: float
    answer: dict[str, Any]


class Searches(InBackground):
    """Steady searches by copies of pictures; `answered`: those that were answered, `failures`: what became of others.

    `pictures` may grow; `question`: further fields of a search.
    """

    def __init__(
        self,
        stack: Stack,
        pictures: Mapping[str, bytes],
        threads: int,
        pace_s: float,
        patience_s: float,
        **question: str,
    ) -> None:
        super().__init__(self._search, threads, pace_s)
        self.stack, self.pictures = stack, dict(pictures)
        self.answered: list[Asked] = []
        self.failures: list[str] = []
        self._patience_s, self._question = patience_s, question

    def choose(self, turn: int) -> str | None:
        """By which picture to search; None: by none now."""
        names = list(self.pictures)
        return names[turn % len(names)] if names else None

    def _search(self, turn: int) -> None:
        try:
            if name := self.choose(turn):
                self.answered.append(self.ask(name))
        except AssertionError as failure:
            self.failures.append(str(failure))

    def ask(self, name: str) -> Asked:
        """Search by this picture; it has to be answered."""
        at, response = time.time(), self.stack.ask(self.pictures[name], **self._question)
        assert response.status_code == 202, response.text
        answer = self.stack.answer(response.json()["id"], self._patience_s)
        assert answer["state"] == "done", answer
        return Asked(name, at, time.time(), answer)


def wait_until(done: Callable[[], bool], stack: Stack, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while not done():
        assert time.monotonic() < deadline, stack.output()
        time.sleep(0.1)
