"""How many searches a machine answers, and how long each takes: `python -m bench.capacity`.

A closed queueing network, simulated: so many visitors, each with one search in flight, share the cores of a machine
with its web and search processes. Service times are those of `make bench-search` at 64 in flight; the fixed time of a
batch and the visitors' own are estimates. It prints the measured two-core machine beside the simulation, then what it
predicts of others.
"""

import itertools
import random
import statistics
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import simpy

SEARCHES = 3000  # simulated for each figure, after WARM_UP
WARM_UP = 300
SPREAD = 0.25  # standard deviation of a service time, to its mean
SLICE_MS = 1.0  # of a core, as the kernel shares it
SEED = 1

Steps = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Machine:
    """Service times in ms of one core, and what there is of everything.

    `upload` and `poll`: of the web for one request; `visitor`: of the program that measures, on the same cores, for one
    request; `other`: of Redis and the parents of the processes, for one search. A batch takes `batch` and `picture` for
    each of its pictures, of which `device` is spent on a GPU that the worker owns (0: there is none). `wake`: from a
    committed query to a worker that looks for it.
    """

    cores: int
    workers: int
    upload: float
    poll: float
    visitor: float
    other: float
    batch: float
    picture: float
    most: int
    wake: float = 2.0
    device: float = 0.0


# `make bench-search`, 64 in flight: CPU of the web 5.4 ms a search (an upload and 1.6 polls), of the search workers
# 7.6, of the rest 1.8. One picture alone is embedded in 10.3 ms; the rest of `batch` + `picture` decodes and writes.
TWO_CORES = Machine(cores=2, workers=2, upload=3.3, poll=1.3, visitor=1.0, other=1.8, batch=10.0, picture=7.0, most=8)
MEASURED_MS = {1: 29.0, 8: 95.5, 64: 538.1}  # p50 from upload to result (bench/out/search.json)
MEASURED_PER_S = {1: 28.2, 8: 79.2, 64: 105.5}


@dataclass(frozen=True)
class Outcome:
    """Searches a second, and percentiles of the time from upload to result in ms."""

    per_s: float
    p50_ms: float
    p95_ms: float


@dataclass
class Search:
    """One search: when it was sent, and when its matches were written."""

    sent: float
    done: float | None = None


class Simulation:
    """One machine under so many searches in flight; times are in ms."""

    def __init__(self, machine: Machine, in_flight: int) -> None:
        self.machine, self.clock = machine, simpy.Environment()
        self._cores = simpy.Resource(self.clock, machine.cores)
        self._waiting = simpy.Store(self.clock)
        self._random = random.Random(SEED)
        self._batch_ms = machine.batch + machine.picture
        self._finished: deque[float] = deque(maxlen=100)
        self.latencies: list[float] = []
        self._began = 0.0
        self._is_over = self.clock.event()
        for _ in range(machine.workers):
            self.clock.process(self._worker())
        for _ in range(in_flight):
            self.clock.process(self._visitor())

    def run(self) -> Outcome:
        """Return what SEARCHES searches after the first WARM_UP took."""
        self.clock.run(self._is_over)
        kept = sorted(self.latencies[WARM_UP:])
        per_s = 1000 * len(kept) / (self.clock.now - self._began)
        return Outcome(per_s, statistics.median(kept), kept[int(0.95 * len(kept))])

    def _visitor(self) -> Steps:
        machine = self.machine
        while True:
            search = Search(self.clock.now)
            yield from self._work(machine.visitor + machine.upload + machine.other)
            self.clock.process(self._enqueue(search))
            while search.done is None:
                yield self.clock.timeout(self._poll_after(search))
                yield from self._work(machine.visitor + machine.poll)
            self.latencies.append(self.clock.now - search.sent)
            if len(self.latencies) == WARM_UP:
                self._began = self.clock.now
            if len(self.latencies) == WARM_UP + SEARCHES:
                self._is_over.succeed()

    def _enqueue(self, search: Search) -> Steps:
        yield self.clock.timeout(self.machine.wake)
        yield self._waiting.put(search)

    def _worker(self) -> Steps:
        machine = self.machine
        while True:
            batch: list[Search] = [(yield self._waiting.get())]
            while self._waiting.items and len(batch) < machine.most:
                batch.append((yield self._waiting.get()))
            began = self.clock.now
            yield from self._work(machine.batch + (machine.picture - machine.device) * len(batch))
            yield self.clock.timeout(machine.device * len(batch))
            self._batch_ms = self.clock.now - began
            for search in batch:
                search.done = self.clock.now
                self._finished.append(self.clock.now)

    def _work(self, mean_ms: float) -> Steps:
        """Take the cores in turns with all others, SLICE_MS at a time."""
        left_ms = max(0.1, self._random.gauss(mean_ms, SPREAD * mean_ms))
        while left_ms > 0:
            with self._cores.request() as core:
                yield core
                yield self.clock.timeout(min(SLICE_MS, left_ms))
            left_ms -= SLICE_MS

    def _poll_after(self, search: Search) -> float:
        """Return what gallery/queries/waiting.py tells a visitor."""
        ahead = sum(1 for other in self._waiting.items if other.sent < search.sent)
        took_ms = self._finished[-1] - self._finished[0] if self._finished else 0.0
        ahead_ms = ahead * took_ms / len(self._finished) if took_ms else 0.0
        return min(2000.0, max(0.3 * (self.clock.now - search.sent), ahead_ms + self._batch_ms))


def simulate(machine: Machine, in_flight: int) -> Outcome:
    """Return what so many visitors, each with one search in flight, see of a machine."""
    return Simulation(machine, in_flight).run()


def main() -> None:
    """Print the measured machine beside the simulation, then predictions."""
    print(
        "two cores, visitors on the same machine\nin flight   simulated p50   measured      off   per second   measured"
    )
    for in_flight, measured in MEASURED_MS.items():
        one = simulate(TWO_CORES, in_flight)
        off = one.p50_ms / measured - 1
        print(
            f"{in_flight:9}   {one.p50_ms:10.0f} ms   {measured:5.0f} ms   {off:+5.0%}   {one.per_s:10.0f}"
            f"   {MEASURED_PER_S[in_flight]:8.0f}"
        )
    print("\npredicted, visitors elsewhere\ncores   in flight   per second   p50        p95")
    for cores, in_flight in itertools.product((2, 4, 8, 16), (1, 64)):
        machine = replace(TWO_CORES, cores=cores, workers=cores, visitor=0.0)
        one = simulate(machine, in_flight)
        print(f"{cores:5}   {in_flight:9}   {one.per_s:10.0f}   {one.p50_ms:6.0f} ms   {one.p95_ms:6.0f} ms")


if __name__ == "__main__":
    main()
