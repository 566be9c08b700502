"""Searches over HTTP against the rivals: `python -m bench.search [--quick] [--model compact|alexnet] [--photos DIR]`.

The system runs as `make run` starts it; it and every rival of `bench/rivals` have the same network, pictures and
gallery. They are measured in turns, several rounds each, so that what else the machine does is fair to all; figures are
medians of the rounds. A rival keeps no rows and serves no pages, and what asks it polls nothing.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torchvision.models import get_model  # type: ignore[import-untyped]

from bench import crowd, photos, processes, report, waiting
from bench.crowd import Crowd
from bench.index import say
from bench.load import Asker, Round, Visitor, drive
from bench.report import Row
from bench.rivals import clients
from bench.rivals.clients import Pipeline
from bench.stack import Stack

OURS, LOOP, TASKS, FLASK = "simsearch", "Redis loop", "Celery task each", "Flask"
# Ours to the rival's, at the most in flight; see docs/performance.md.
GOALS = {LOOP: 0.75, TASKS: 1.8, FLASK: 2.5}
PIPELINE_GOAL, CPU_GOAL_MS, WEB_GOAL_MB, CROWD_GOAL_S = 0.9, 7.0, 90.0, 2.0
IDLE_TIMES, IDLE_EXTRA_MS = 1.6, 15.0
STAGES = ("accept", "queue", "decode", "embed", "search")


@dataclass(frozen=True)
class Effort:
    """How thoroughly is measured."""

    gallery: int
    asked: int
    rounds: int
    seconds: float  # of each round
    in_flight: tuple[int, ...]
    waiting: int  # how many pile up for the worker's share
    crowd: int  # so many upload at once while as many look


FULL = Effort(gallery=1000, asked=256, rounds=5, seconds=8, in_flight=(1, 8, 64), waiting=512, crowd=1000)
QUICK = Effort(gallery=120, asked=64, rounds=2, seconds=3, in_flight=(1, 64), waiting=128, crowd=100)


@dataclass
class Measured:
    """All rounds: of each way at each number in flight, of the bare pipeline, and what the system's processes cost."""

    rounds: dict[tuple[str, int], list[Round]] = field(default_factory=lambda: defaultdict(list))
    batches: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    cpu_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # a query, at the most in flight
    alone_ms: list[float] = field(default_factory=list)
    pipeline_per_s: list[float] = field(default_factory=list)
    pipeline_cpu_ms: list[float] = field(default_factory=list)
    worker_per_s: list[float] = field(default_factory=list)

    def of(self, way: str, in_flight: int, percent: float | None = None) -> float:
        """Searches a second, or a percentile of the latency in ms."""
        rounds = self.rounds[way, in_flight]
        return median(one.per_s if percent is None else one.percentile_ms(percent) for one in rounds)


def main() -> None:
    """Measure, print the tables, write bench/out/search.json."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--photos", type=Path, default=photos.PHOTOS)
    arguments.add_argument("--model", choices=("compact", "alexnet"), default="alexnet")
    arguments.add_argument("--quick", action="store_true", help="fewer pictures and rounds; two minutes")
    asked = arguments.parse_args()
    effort = QUICK if asked.quick else FULL
    with tempfile.TemporaryDirectory(prefix="simsearch-bench-") as directory:
        report.publish("search", list(measure(Path(directory), asked.model, asked.photos, effort)))


def measure(directory: Path, model: str, folder: Path, effort: Effort) -> Iterator[Row]:
    """Start everything, measure in turns, yield the figures."""
    pictures = photos.some(directory / "photos", effort.gallery, effort.asked, folder)
    asked = directory / "asked"
    asked.mkdir()
    for number, data in enumerate(pictures.asked):
        (asked / f"{number:05}.jpg").write_bytes(data)
    weights = str(random_weights(directory / "alexnet.pt")) if model == "alexnet" else ""
    vectors = random_vectors(directory / "gallery.npy", effort.gallery)
    environment = {"SIMSEARCH_MODEL": model, "SIMSEARCH_WEIGHTS": weights}
    if weights:  # to such a network all pictures look the same, and would be one result with copies
        environment["SIMSEARCH_DUPLICATE_SIMILARITY"] = "2"
    with ExitStack() as block:
        say(f"{model}, {effort.gallery} {pictures.kind}: starting the rivals")
        pipeline = block.enter_context(Pipeline(model, weights, asked))
        loop = block.enter_context(clients.redis_loop(model, weights, vectors, directory / "loop"))
        tasks = block.enter_context(clients.celery(model, weights, vectors, directory / "tasks"))
        flask = block.enter_context(clients.flask(model, weights, vectors))
        say("starting the system, importing the gallery")
        stack = block.enter_context(Stack(directory / "system", pictures.gallery, **environment))
        device = stack.worker()
        say(f"{model} on {device.get('device')}; the pipeline calculates in {pipeline.precision}")
        askers: dict[str, Asker] = {
            OURS: lambda: Visitor(stack.port).search,
            LOOP: loop.asker,
            TASKS: tasks.asker,
            FLASK: flask.asker,
        }
        measured = Measured()
        for turn in range(effort.rounds):
            say(f"round {turn + 1} of {effort.rounds}")
            for way, asker in askers.items():
                with loop.awake() if way == LOOP else nullcontext():
                    for in_flight in effort.in_flight:
                        ask_round(measured, stack, way, asker, pictures.asked, in_flight, effort.seconds)
            measured.alone_ms.append(pipeline.one_ms(40))
            per_s, cpu_s = pipeline.batches(effort.seconds)
            measured.pipeline_per_s.append(per_s)
            measured.pipeline_cpu_ms.append(cpu_s * 1e3)
            measured.worker_per_s.append(waiting.answered_per_s(stack, pictures.asked, effort.waiting))
        say(f"{effort.crowd} at once")
        gathered = crowd.gather(stack.port, pictures.asked, effort.crowd, effort.crowd)
        yield Row(f"network {model} on {device.get('device')}, {pictures.kind}: gallery", effort.gallery, "pictures")
        yield from figures(measured, effort, model, processes.peak_mb(stack.pid))
        yield from everybody(gathered, effort.crowd)


def ask_round(
    measured: Measured, stack: Stack, way: str, asker: Asker, asked: list[bytes], in_flight: int, seconds: float
) -> None:
    """Measure one way once."""
    cpu_s, log = processes.cpu_s(stack.pid), stack.log_bytes()
    result = drive(asker, asked, in_flight, seconds)
    measured.rounds[way, in_flight].append(result)
    if way != OURS:
        return
    measured.batches[in_flight] += stack.batches(log)
    for kind, spent_s in processes.cpu_s(stack.pid).items():
        key = f"{in_flight} in flight: CPU a query, {kind}"
        measured.cpu_ms[key].append((spent_s - cpu_s.get(kind, 0)) / result.asked * 1e3)


def random_weights(path: Path) -> Path:
    """Write AlexNet with random weights: torchvision's would have to be downloaded, and speed is the same."""
    torch.manual_seed(photos.SEED)
    torch.save(get_model("alexnet", weights=None).state_dict(), path)
    return path


def random_vectors(path: Path, count: int) -> Path:
    """Write a gallery for the rivals' scans, whose time does not depend on the numbers."""
    vectors = np.random.default_rng(photos.SEED).random((count, 4096), np.float32)
    np.save(path, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return path


# --- Figures ------------------------------------------------------------------------------------------------


def figures(measured: Measured, effort: Effort, model: str, peak_mb: dict[str, float]) -> Iterator[Row]:
    """Yield every row."""
    most = effort.in_flight[-1]
    yield from idle(measured, model)
    yield at_least_ratio(
        f"{effort.waiting} waiting: claimed to done, against the pipeline",
        median(measured.worker_per_s),
        median(measured.pipeline_per_s),
        PIPELINE_GOAL,
    )
    for in_flight in effort.in_flight:
        label = f"{in_flight} in flight"
        for rival in (LOOP, TASKS, FLASK):
            goal = GOALS[rival] if in_flight == most else None
            name = f"{label}: searches, against {rival}"
            yield at_least_ratio(name, measured.of(OURS, in_flight), measured.of(rival, in_flight), goal)
        for way in (OURS, LOOP, TASKS, FLASK):
            for percent in (50, 95, 99):
                yield Row(f"{label}: {way} p{percent}", measured.of(way, in_flight, percent), "ms")
        sizes = measured.batches[in_flight] or [0]
        yield Row(f"{label}: batch size, mean", float(np.mean(sizes)), "pictures")
        yield Row(f"{label}: batch size, largest", max(sizes), "pictures")
        yield from stages(label, measured.rounds[OURS, in_flight])
    yield from cost(measured, most, peak_mb)


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


def stages(label: str, rounds: list[Round]) -> Iterator[Row]:
    """Yield where the time of a search goes, from the first byte to what the visitor sees; medians."""
    told = [
        (answer["timings_ms"], took * 1e3)
        for one in rounds
        for answer, took in zip(one.answers, one.latencies, strict=True)
    ]
    if not told:
        return
    for stage in STAGES:
        yield Row(f"{label}: stage {stage}", median(timings[stage] for timings, _ in told), "ms")
    finish = median(timings["total"] - sum(timings[stage] for stage in STAGES) for timings, _ in told)
    yield Row(f"{label}: stage claim and finish", finish, "ms")
    yield Row(f"{label}: stage upload and polls", median(took - timings["total"] for timings, took in told), "ms")


def cost(measured: Measured, most: int, peak_mb: dict[str, float]) -> Iterator[Row]:
    """Yield CPU and memory by process."""
    bare = median(measured.pipeline_cpu_ms)
    yield Row("pipeline: CPU a picture (decode and embed)", bare, "ms")
    label = f"{most} in flight: CPU a query"
    for name, values in measured.cpu_ms.items():
        yield Row(name, median(values), "ms")
    all_ms = sum(median(values) for name, values in measured.cpu_ms.items() if name.startswith(label))
    search = next((row.value for row in stages("", measured.rounds[OURS, most]) if row.name == ": stage search"), 0.0)
    searched = search / float(np.mean(measured.batches[most] or [1]))
    yield report.at_most(f"{label} outside decode, embed, search", all_ms - bare - searched, "ms", CPU_GOAL_MS)
    for kind, mb in sorted(peak_mb.items()):
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


def at_least_ratio(name: str, value: float, rival: float, goal: float | None) -> Row:
    """Return a row of a rate, whose ratio to the rival's must not be below `goal`, where there is one."""
    ratio = value / rival
    if goal is None:
        return Row(name, value, "/s", rival, ratio)
    return Row(name, value, "/s", rival, ratio, f">= {goal:g} x rival", ratio >= goal)


if __name__ == "__main__":
    main()
