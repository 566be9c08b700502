"""Everybody comes at once: what an upload and a poll are answered then, and whether all that was accepted ends."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.load import Visitor

GLANCE_S = 1.0  # between two looks of those who only look

Headers = Callable[[int], Mapping[str, str]]  # what the visitor of a number sends along


def no_headers(_number: int) -> Mapping[str, str]:
    return {}


@dataclass
class Crowd:
    """`uploads` and `polls`: how often each status was answered; `accepted_s`, `refused_s`, `looked_s`: how soon.

    `refusals`: how often an upload was refused with which status, code and Retry-After; `ended`: what became of the
    accepted ones; `errors`: connections that broke, answers that were none. `settle_s`: how much sooner those come who
    only look.
    """

    port: int
    pictures: list[bytes]
    headers: Headers = no_headers
    settle_s: float = 0.0
    uploads: Counter[int] = field(default_factory=Counter)
    polls: Counter[int] = field(default_factory=Counter)
    accepted_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    looked_s: list[float] = field(default_factory=list)
    refusals: Counter[tuple[int, str, int | None]] = field(default_factory=Counter)
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
        took_s = time.perf_counter() - sent
        with self._lock:
            self.uploads[status] += 1
            if status != 202:
                self.refused_s.append(took_s)
                self.refusals[status, told["error"]["code"], visitor.retry_after_s] += 1
                return
            self.accepted_s.append(took_s)
        state = visitor.wait(told)["state"]
        with self._lock:
            self.ended[state] += 1

    def look(self, visitor: Visitor, query: str) -> None:
        """Look at a result again and again, until all uploads have ended."""
        while not self._over.wait(GLANCE_S):
            looked = time.perf_counter()
            status, _ = visitor.get(f"/api/queries/{query}")
            with self._lock:
                self.polls[status] += 1
                self.looked_s.append(time.perf_counter() - looked)

    def gather(self, uploaders: int, lookers: int) -> None:
        """Everybody at the same moment."""
        with Visitor(self.port, self.headers(0)) as visitor:
            query = visitor.search(self.pictures[0])["id"]
        looking = self._start(self.look, [query] * lookers)
        time.sleep(self.settle_s)
        uploading = self._start(self.upload, range(uploaders))
        for thread in uploading:
            thread.join()
        self._over.set()
        for thread in looking:
            thread.join()

    def _start(self, run: Callable[[Visitor, Any], None], each: Iterable[Any]) -> list[threading.Thread]:
        def told(number: int, argument: Any) -> None:
            try:
                with Visitor(self.port, self.headers(number)) as visitor:
                    run(visitor, argument)
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                with self._lock:
                    self.errors.append(f"{run.__name__}: {type(error).__name__}: {error}")

        threads = [threading.Thread(target=told, args=numbered) for numbered in enumerate(each)]
        for thread in threads:
            thread.start()
        return threads


def gather(
    port: int, pictures: list[bytes], uploaders: int, lookers: int, headers: Headers = no_headers, settle_s: float = 0.0
) -> Crowd:
    """Upload so many pictures at once while so many look at a result; returns when all uploads have ended."""
    crowd = Crowd(port, pictures, headers, settle_s)
    crowd.gather(uploaders, lookers)
    return crowd
