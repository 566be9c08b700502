"""What `bench.search` measured, as rows with their goals."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from bench import processes, report, stages
from bench.crowd import Crowd
from bench.load import Round
from bench.report import Row
from bench.stages import Counts

OURS, LOOP, TASKS, FLASK = "simsearch", "Redis loop", "Celery task each", "Flask"
# Ours to the rival's, at the most in flight; see docs/performance.md.
GOALS = {LOOP: 0.75, TASKS: 1.8, FLASK: 2.5}
PIPELINE_GOAL, CPU_GOAL_MS, WEB_GOAL_MB, CROWD_GOAL_S = 0.9, 7.0, 90.0, 2.0
IDLE_TIMES, IDLE_EXTRA_MS = 1.6, 15.0


@dataclass(frozen=True)
class Effort:
    """How thoroughly is measured."""

    gallery: int
    asked: int
    rounds: int
    seconds: float  # of each round
    in_flight: tuple[int, ...]
    waiting: tuple[int, ...]  # how many pile up for the worker's share
    piles: int  # of each size in a round
    crowd: int  # so many upload at once while as many look


@dataclass
class Measured:
    """All rounds: of each way at each number in flight, of the bare pipeline, and what the system's processes cost."""

    rounds: dict[tuple[str, int], list[Round]] = field(default_factory=lambda: defaultdict(list))
    batches: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    counts: dict[int, list[Counts]] = field(default_factory=lambda: defaultdict(list))
    cpu_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # a query, at the most in flight
    alone_ms: list[float] = field(default_factory=list)
    pipeline_per_s: list[float] = field(default_factory=list)
    pipeline_cpu_ms: list[float] = field(default_factory=list)
    worker_per_s: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))  # of how many that wait

    def of(self, way: str, in_flight: int, percent: float | None = None) -> float:
        """Searches a second, or a percentile of the latency in ms."""
        rounds = self.rounds[way, in_flight]
        return median(one.per_s if percent is None else one.percentile_ms(percent) for one in rounds)

    def stack(self, in_flight: int) -> dict[str, float]:
        """Where the time of our searches went, in ms."""
        return stages.stack(self.rounds[OURS, in_flight], self.counts[in_flight])


def figures(measured: Measured, effort: Effort, model: str) -> Iterator[Row]:
    """Yield every row."""
    most = effort.in_flight[-1]
    yield from idle(measured, model)
    for count in effort.waiting:
        name = f"{count} waiting: claimed to done, against the pipeline"
        per_s = median(measured.worker_per_s[count])
        yield report.at_least_ratio(name, per_s, median(measured.pipeline_per_s), PIPELINE_GOAL)
    for in_flight in effort.in_flight:
        label = f"{in_flight} in flight"
        for rival in (LOOP, TASKS, FLASK):
            goal = GOALS[rival] if in_flight == most else None
            name = f"{label}: searches, against {rival}"
            yield report.at_least_ratio(name, measured.of(OURS, in_flight), measured.of(rival, in_flight), goal)
        for way in (OURS, LOOP, TASKS, FLASK):
            for percent in (50, 95, 99):
                yield Row(f"{label}: {way} p{percent}", measured.of(way, in_flight, percent), "ms")
        sizes = measured.batches[in_flight] or [0]
        yield Row(f"{label}: batch size, mean", float(np.mean(sizes)), "pictures")
        yield Row(f"{label}: batch size, largest", max(sizes), "pictures")
        yield from stages.requests(label, measured.counts[in_flight])
    yield from cost(measured, most)


def idle(measured: Measured, model: str) -> Iterator[Row]:
    """Yield what one search takes on an idle system, by the system's own clock, against its forward pass."""
    alone = median(measured.alone_ms)
    took = median(
        told["timings_ms"]["total"] - told["timings_ms"]["accept"]
        for one in measured.rounds[OURS, 1]
        for told in one.answers
    )
    name = "idle: accepted to done p50, against decode and embed alone"
    goal = IDLE_TIMES if model == "alexnet" else (alone + IDLE_EXTRA_MS) / alone
    yield report.against(name, took, alone, "ms", goal)


def cost(measured: Measured, most: int) -> Iterator[Row]:
    """Yield CPU by process."""
    bare = median(measured.pipeline_cpu_ms)
    yield Row("pipeline: CPU a picture (decode and embed)", bare, "ms")
    label = f"{most} in flight: CPU a query"
    for name, values in measured.cpu_ms.items():
        yield Row(name, median(values), "ms")
    all_ms = sum(median(values) for name, values in measured.cpu_ms.items() if name.startswith(label))
    searched = measured.stack(most).get("search", 0.0) / float(np.mean(measured.batches[most] or [1]))
    yield report.at_most(f"{label} outside decode, embed, search", all_ms - bare - searched, "ms", CPU_GOAL_MS)


def memory(pid: int) -> Iterator[Row]:
    """Yield memory by process: with its part of what is shared now, and the most with all of that."""
    for kind, mb in sorted(processes.share_mb(pid).items()):
        yield Row(f"memory of a process, its share of shared pages: {kind}", mb, "MB")
    for kind, mb in sorted(processes.peak_mb(pid).items()):
        name = f"peak memory of a process: {kind}"
        yield report.at_most(name, mb, "MB", WEB_GOAL_MB) if kind == "web" else Row(name, mb, "MB")


def everybody(gathered: Crowd, count: int) -> Iterator[Row]:
    """Yield what a crowd was answered."""
    label = f"{count} uploads and {count} who look at once"
    broken = len(gathered.errors) + sum(
        times for status, times in (gathered.uploads + gathered.polls).items() if status not in (200, 202, 429, 503)
    )
    accepted = gathered.uploads[202]
    yield report.at_most(f"{label}: errors but 429 and 503", broken, "", 0)
    yield Row(f"{label}: accepted", accepted, "uploads")
    yield report.at_most(f"{label}: accepted, not done", accepted - gathered.ended["done"], "", 0)
    yield report.at_most(f"{label}: accepted p95", gathered.accepted_p95_s, "s", CROWD_GOAL_S)
