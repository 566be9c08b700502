"""The index against an exact scan and hnswlib: `python -m bench.index [--photos DIR] [--quick]`.

One thread. Queries are crops of photographs of which the gallery holds nothing. Ways are timed in turns, so
that what else the machine does is fair to all.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hnswlib
import numpy as np
from numpy.typing import NDArray

from bench import gallery, options, report
from bench.gallery import Data
from bench.report import Row
from engine.index import Index
from engine.index_build import build
from engine.manifest import Manifest
from engine.ranking import Vectors

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
K = 10
BATCH = 32
TURNS = 5
WIDTHS = (10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640)  # hnswlib's ef


@dataclass(frozen=True)
class Goals:
    """What the figures have to be; see the issue "The index" and docs/architecture.md."""

    recall: float
    exact: float
    hnswlib: float
    build_s: float
    memory_mb: float


SIZES = {10_000: Goals(0.99, 1 / 16, 0.7, 5, 50), 100_000: Goals(0.98, 1 / 30, 1.2, 60, 150)}
QUICK = {2_000: Goals(0.99, 1 / 5, 0.7, 5, 50)}  # so few are scanned exactly in 1.3 ms

Search = Callable[[int], object]


def main() -> None:
    """Measure every size, print the table, write bench/out/index.json."""
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        # The libraries read these when they are loaded, which has happened by now.
        os.execve(sys.executable, [sys.executable, "-m", "bench.index", *sys.argv[1:]], os.environ | ONE_THREAD)
    asked = options.of_all(__doc__).parse_args()
    sizes = QUICK if asked.quick else SIZES
    real = gallery.real(asked.photos, min(sizes))
    rows = [row for count, goals in sizes.items() for row in measure(grow(real, count), goals)]
    report.publish("index", rows)


def grow(real: Data, count: int) -> Data:
    """Return a gallery of `count`: the real one, or the real one and perturbed copies of it."""
    times = count // len(real.gallery)
    return real if times == 1 else Data(gallery.perturbed(real.gallery, times), real.queries)


def measure(data: Data, goals: Goals) -> Iterator[Row]:
    """Yield all figures for one gallery."""
    count = len(data.gallery)
    label = f"{count:,} "
    with tempfile.TemporaryDirectory(dir=report.OUT) as folder:
        directory = Path(folder) / "1"
        say(f"{label}building")
        started = time.perf_counter()
        manifest = build(directory, np.arange(count), data.gallery, "bench", target_recall=goals.recall)
        build_s = time.perf_counter() - started
        index = Index.open(directory)
        yield from searches(label, index, data, goals, describe(manifest))
        yield report.at_most(f"{label}build", build_s, "s", goals.build_s)
        yield report.at_most(f"{label}memory a worker adds", memory_mb(directory), "MB", goals.memory_mb)
        if manifest.method != "annoy":
            yield from annoy_alone(label, Path(folder) / "2", data, goals)
        shutil.rmtree(directory)


def searches(label: str, index: Index, data: Data, goals: Goals, how: str) -> Iterator[Row]:
    """Yield recall and times of the index, with the exact scan and hnswlib beside it."""
    true = [hits.ids for hits in index.exact(data.queries, K)]
    ours = recall((hits.ids for hits in index.search(data.queries, K)), true)
    say(f"{label}{how}; recall {ours:.4f}; building hnswlib")
    graph = build_graph(data.gallery)
    same, enough = (widen(graph, data.queries, true, at_least) for at_least in (ours, goals.recall))
    say(f"{label}hnswlib: recall {ours:.4f} with ef {same}, {goals.recall} with ef {enough}")
    times = p50_ms(
        {
            "one": lambda n: index.search(data.queries[n : n + 1], K),
            "batch": lambda n: index.search(data.queries[n : n + BATCH], K),
            "exact": lambda n: exact_scan(data.gallery, data.queries[n]),
            "same": lambda n: ask_graph(graph, data.queries[n], same),
            "enough": lambda n: ask_graph(graph, data.queries[n], enough),
        },
        per_turn=min(100, 1_000_000 // len(data.gallery)),
        queries=len(data.queries) - BATCH,
    )
    one, batch = times["one"], times["batch"] / BATCH
    yield report.at_least(f"{label}recall@10 ({how})", ours, "", goals.recall)
    yield Row(f"{label}recall@10 as measured by the build", index.manifest.recall, "")
    yield report.against(f"{label}one query, against the exact scan", one, times["exact"], "ms", goals.exact)
    yield report.against(
        f"{label}one query, against hnswlib at its recall (ef {same})", one, times["same"], "ms", goals.hnswlib
    )
    yield report.against(
        f"{label}one query, against hnswlib at {goals.recall} (ef {enough})", one, times["enough"], "ms"
    )
    yield report.against(f"{label}batch of 32, each, against one", batch, one, "ms", 1)


def annoy_alone(label: str, directory: Path, data: Data, goals: Goals) -> Iterator[Row]:
    """Yield the figures of Annoy where the build preferred something else."""
    manifest = build(
        directory, np.arange(len(data.gallery)), data.gallery, "b", target_recall=goals.recall, method="annoy"
    )
    index = Index.open(directory)
    true = [hits.ids for hits in index.exact(data.queries, K)]
    found = recall((hits.ids for hits in index.search(data.queries, K)), true)
    times = p50_ms(
        {
            "one": lambda n: index.search(data.queries[n : n + 1], K),
            "exact": lambda n: exact_scan(data.gallery, data.queries[n]),
        },
        per_turn=50,
        queries=len(data.queries),
    )
    yield Row(f"{label}recall@10 ({describe(manifest)})", found, "")
    yield report.against(f"{label}one query by Annoy, against the exact scan", times["one"], times["exact"], "ms")


def p50_ms(ways: dict[str, Search], per_turn: int, queries: int) -> dict[str, float]:
    """Return the median time of each way in milliseconds, measured in turns after a round to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS + 1):
        for name, search in ways.items():
            for number in range(per_turn):
                query = (turn * per_turn + number) % queries
                started = time.perf_counter()
                search(query)
                if turn:
                    taken[name].append(time.perf_counter() - started)
    return {name: float(np.median(seconds)) * 1e3 for name, seconds in taken.items()}


def exact_scan(vectors: Vectors, query: Vectors) -> NDArray[np.intp]:
    """Return the best ten of all, unordered: the least numpy can do."""
    best: NDArray[np.intp] = np.argpartition(vectors @ query, -K)[-K:]
    return best


def recall(found: Iterable[NDArray[np.int64]], true: list[NDArray[np.int64]]) -> float:
    """Return the share of the true ten that were found."""
    return float(np.mean([np.isin(right, ids).mean() for ids, right in zip(found, true, strict=True)]))


def build_graph(vectors: Vectors) -> hnswlib.Index:
    """Build hnswlib with the parameters its README proposes, with all cores: only its queries are timed."""
    graph = hnswlib.Index("ip", vectors.shape[1])
    graph.init_index(len(vectors), M=16, ef_construction=200, random_seed=1)
    graph.add_items(vectors, num_threads=os.cpu_count())
    return graph


def ask_graph(graph: hnswlib.Index, query: Vectors, width: int) -> NDArray[np.int64]:
    """Return hnswlib's ten."""
    graph.set_ef(width)
    found: NDArray[np.int64] = graph.knn_query(query, K, num_threads=1)[0][0].astype(np.int64)
    return found


def widen(graph: hnswlib.Index, queries: Vectors, true: list[NDArray[np.int64]], target: float) -> int:
    """Return the smallest of WIDTHS that reaches the recall, or the largest."""
    for width in WIDTHS:
        if recall((ask_graph(graph, query, width) for query in queries), true) >= target:
            return width
    return WIDTHS[-1]


def memory_mb(directory: Path) -> float:
    """Ask a fresh process."""
    command = [sys.executable, "-m", "bench.worker_memory", str(directory)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def describe(manifest: Manifest) -> str:
    """Return how a generation is searched, in short."""
    asked = manifest.parameters
    how = {
        "exact": "",
        "scan": f" {asked.coarse_dimension}d, {asked.shortlist} -> {asked.candidates}",
        "annoy": f" {asked.coarse_dimension}d, search_k {asked.search_k}, {asked.probes} of {asked.cells} cells"
        f" -> {asked.candidates}",
    }
    return manifest.method + how[manifest.method]


def say(text: str) -> None:
    """Tell a person what is being done."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
