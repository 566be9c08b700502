"""Searches over HTTP against the rivals: `python -m bench.search [--quick] [--model compact|alexnet] [--photos DIR]`.

The system runs as `make run` starts it; it and every rival of `bench/rivals` have the same network, pictures and
gallery. They are measured in turns, several rounds each, so that what else the machine does is fair to all; figures are
medians of the rounds. A rival keeps no rows and serves no pages, and what asks it polls nothing.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path

import numpy as np
import torch
from torchvision.models import get_model  # type: ignore[import-untyped]

from bench import crowd, options, photos, processes, report, waiting
from bench.figures import FLASK, LOOP, OURS, TASKS, Effort, Measured, everybody, figures, memory
from bench.index import say
from bench.load import Asker, Visitor, drive
from bench.report import Row
from bench.rivals import clients
from bench.rivals.clients import Pipeline
from bench.stack import Stack
from bench.stages import Counts

FULL = Effort(
    gallery=1000, asked=256, rounds=5, seconds=8, in_flight=(1, 8, 64), waiting=(64, 512), piles=2, crowd=1000
)
QUICK = Effort(gallery=120, asked=64, rounds=2, seconds=3, in_flight=(1, 64), waiting=(64,), piles=3, crowd=100)


def main() -> None:
    """Measure, print the tables, write bench/out/search.json."""
    asked = options.with_model(__doc__).parse_args()
    effort = QUICK if asked.quick else FULL
    with tempfile.TemporaryDirectory(prefix="simsearch-bench-") as directory:
        measured = Measured()
        rows = list(measure(measured, Path(directory), asked.model, asked.photos, effort))
    stacks = {f"{in_flight} in flight": measured.stack(in_flight) for in_flight in effort.in_flight}
    report.publish("search", rows, stacks)


def measure(measured: Measured, directory: Path, model: str, folder: Path, effort: Effort) -> Iterator[Row]:
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
            for count in effort.piles * effort.waiting:
                measured.worker_per_s[count].append(waiting.answered_per_s(stack, pictures.asked, count))
        say(f"{effort.crowd} at once")
        gathered = crowd.gather(stack.port, pictures.asked, effort.crowd, effort.crowd)
        yield Row(f"network {model} on {device.get('device')}, {pictures.kind}: gallery", effort.gallery, "pictures")
        yield from figures(measured, effort, model)
        yield from memory(stack.pid)
        yield from everybody(gathered, effort.crowd)


def ask_round(
    measured: Measured, stack: Stack, way: str, asker: Asker, asked: list[bytes], in_flight: int, seconds: float
) -> None:
    """Measure one way once."""
    before = stack.counted() if way == OURS else {}
    cpu_s, log = processes.cpu_s(stack.pid), stack.log_bytes()
    result = drive(asker, asked, in_flight, seconds)
    measured.rounds[way, in_flight].append(result)
    if way != OURS:
        return
    measured.batches[in_flight] += stack.batches(log)
    for kind, spent_s in processes.cpu_s(stack.pid).items():
        key = f"{in_flight} in flight: CPU a query, {kind}"
        measured.cpu_ms[key].append((spent_s - cpu_s.get(kind, 0)) / result.asked * 1e3)
    measured.counts[in_flight].append(Counts(before, stack.counted()))


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


if __name__ == "__main__":
    main()
