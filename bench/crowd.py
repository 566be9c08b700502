"""Everybody comes at once: what an upload and a poll are answered then, and whether all that was accepted ends."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.load import Visitor

GLANCE_S = 1.0  # between two looks of those who only look


@dataclass
class Crowd:
    """`uploads` and `polls`: how often each status was answered; `accepted_s`: how long an accepted upload took.

    `ended`: what became of the accepted ones; `errors`: connections that broke, answers that were none.
    """

    port: int
    pictures: list[bytes]
    uploads: Counter[int] = field(default_factory=Counter)
    polls: Counter[int] = field(default_factory=Counter)
    accepted_s: list[float] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    @property
    def accepted_p95_s(self) -> float:
        return float(np.percentile(self.accepted_s, 95)) if self.accepted_s else float("nan")

    def upload(self, visitor: Visitor, number: int) -> None:
        """Upload once and follow it to its end."""
        sent = time.perf_counter()
        status, told = visitor.post("/api/queries", self.pictures[number % len(self.pictures)])
        with self._lock:
            self.uploads[status] += 1
            if status != 202:
                return
            self.accepted_s.append(time.perf_counter() - sent)
        state = visitor.wait(told)["state"]
        with self._lock:
            self.ended[state] += 1

    def look(self, visitor: Visitor, query: str) -> None:
        """Look at a result again and again, until all uploads have ended."""
        while not self._over.wait(GLANCE_S):
            status, _ = visitor.get(f"/api/queries/{query}")
            with self._lock:
                self.polls[status] += 1

    def gather(self, uploaders: int, lookers: int) -> None:
        """Everybody at the same moment."""
        with Visitor(self.port) as visitor:
            query = visitor.search(self.pictures[0])["id"]
        looking = self._start(self.look, [query] * lookers)
        uploading = self._start(self.upload, range(uploaders))
        for thread in uploading:
            thread.join()
        self._over.set()
        for thread in looking:
            thread.join()

    def _start(self, run: Callable[[Visitor, Any], None], each: Iterable[Any]) -> list[threading.Thread]:
        def told(argument: Any) -> None:
            try:
                with Visitor(self.port) as visitor:
                    run(visitor, argument)
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                with self._lock:
                    self.errors.append(f"{run.__name__}: {type(error).__name__}: {error}")

        threads = [threading.Thread(target=told, args=(argument,)) for argument in each]
        for thread in threads:
            thread.start()
        return threads


def gather(port: int, pictures: list[bytes], uploaders: int, lookers: int) -> Crowd:
    """Upload so many pictures at once while so many look at a result; returns when all uploads have ended."""
    crowd = Crowd(port, pictures)
    crowd.gather(uploaders, lookers)
    return crowd
