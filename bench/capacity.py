"""How many searches a machine answers, and how long each takes: `python -m bench.capacity`.

A closed queueing network, simulated: so many visitors, each with one search in flight, share the cores of a machine
with its web and search processes. Service times are those of `make bench-search` at 64 in flight; the fixed time of a
batch and the visitors' own are estimates. It prints the measured two-core machine beside the simulation, then what it
predicts of others.
"""

import heapq
import itertools
import random
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

SEARCHES = 3000  # simulated for each figure, after WARM_UP
WARM_UP = 300
SPREAD = 0.25  # standard deviation of a service time, to its mean
SEED = 1


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


class Cores:
    """Processor sharing: each of the jobs that run gets a core, or its share where there are fewer cores."""

    def __init__(self, clock: "Clock", cores: int) -> None:
        self._clock, self._cores = clock, cores
        self._jobs: dict[int, tuple[float, Callable[[], None]]] = {}  # to what virtual time each runs, and what then
        self._virtual = self._at = 0.0
        self._numbers, self._version = itertools.count(), 0

    def run(self, work_ms: float, then: Callable[[], None]) -> None:
        """Call `then` when this much work is done."""
        self._advance()
        self._jobs[next(self._numbers)] = (self._virtual + work_ms, then)
        self._plan()

    def _rate(self) -> float:
        return min(1.0, self._cores / len(self._jobs)) if self._jobs else 0.0

    def _advance(self) -> None:
        self._virtual += (self._clock.now - self._at) * self._rate()
        self._at = self._clock.now

    def _plan(self) -> None:
        self._version += 1
        if self._jobs:
            first = min(end for end, _ in self._jobs.values())
            version = self._version
            self._clock.after(max(0.0, first - self._virtual) / self._rate(), lambda: self._finish(version))

    def _finish(self, version: int) -> None:
        if version != self._version:
            return
        self._advance()
        over = [number for number, (end, _) in self._jobs.items() if end <= self._virtual + 1e-9]
        calls = [self._jobs.pop(number)[1] for number in over]
        self._plan()
        for call in calls:
            call()


class Clock:
    """Simulated time in ms."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def after(self, ms: float, then: Callable[[], None]) -> None:
        """Call `then` so much later."""
        heapq.heappush(self._events, (self.now + ms, next(self._numbers), then))

    def step(self) -> None:
        """Go to the next event."""
        self.now, _, then = heapq.heappop(self._events)
        then()


@dataclass
class Search:
    """One search: when it was sent, and when its matches were written."""

    sent: float
    done: float | None = None


class Simulation:
    """One machine under so many searches in flight."""

    def __init__(self, machine: Machine, in_flight: int) -> None:
        self.machine, self.clock = machine, Clock()
        self._cores = Cores(self.clock, machine.cores)
        self._random = random.Random(SEED)
        self._waiting: deque[Search] = deque()
        self._idle = machine.workers
        self._batch_ms = machine.batch + machine.picture
        self._finished: deque[float] = deque(maxlen=100)
        self.latencies: list[float] = []
        for _ in range(in_flight):
            self._send()

    def run(self) -> Outcome:
        """Simulate until enough searches have ended."""
        while len(self.latencies) < WARM_UP:
            self.clock.step()
        began = self.clock.now
        while len(self.latencies) < WARM_UP + SEARCHES:
            self.clock.step()
        kept = sorted(self.latencies[WARM_UP:])
        per_s = 1000 * len(kept) / (self.clock.now - began)
        return Outcome(per_s, statistics.median(kept), kept[int(0.95 * len(kept))])

    def _send(self) -> None:
        search = Search(self.clock.now)
        self._work(self.machine.visitor + self.machine.upload + self.machine.other, lambda: self._accept(search))

    def _accept(self, search: Search) -> None:
        self._waiting.append(search)
        self.clock.after(self.machine.wake, self._claim)
        self.clock.after(self._poll_after(search), lambda: self._poll(search))

    def _claim(self) -> None:
        if not (self._idle and self._waiting):
            return
        self._idle -= 1
        batch = [self._waiting.popleft() for _ in range(min(self.machine.most, len(self._waiting)))]
        began, machine = self.clock.now, self.machine
        on_cores = machine.batch + (machine.picture - machine.device) * len(batch)

        def end() -> None:
            self.clock.after(machine.device * len(batch), lambda: self._finish(batch, began))

        self._work(on_cores, end)

    def _finish(self, batch: list[Search], began: float) -> None:
        self._batch_ms = self.clock.now - began
        for search in batch:
            search.done = self.clock.now
            self._finished.append(self.clock.now)
        self._idle += 1
        self._claim()

    def _poll(self, search: Search) -> None:
        self._work(self.machine.visitor + self.machine.poll, lambda: self._answer(search))

    def _answer(self, search: Search) -> None:
        if search.done is None:
            self.clock.after(self._poll_after(search), lambda: self._poll(search))
            return
        self.latencies.append(self.clock.now - search.sent)
        self._send()

    def _poll_after(self, search: Search) -> float:
        """Return what gallery/queries/waiting.py tells a visitor."""
        ahead = sum(1 for other in self._waiting if other.sent < search.sent)
        age, rate = self.clock.now - search.sent, self._rate()
        expected = (ahead / rate if rate else 0.0) + self._batch_ms
        return min(2000.0, max(0.3 * age, expected))

    def _rate(self) -> float:
        if len(self._finished) < 2 or self._finished[-1] == self._finished[0]:
            return 0.0
        return len(self._finished) / (self._finished[-1] - self._finished[0])

    def _work(self, mean_ms: float, then: Callable[[], None]) -> None:
        self._cores.run(max(0.1, self._random.gauss(mean_ms, SPREAD * mean_ms)), then)


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
