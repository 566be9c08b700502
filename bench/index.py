"""The index against an exact scan and hnswlib: `python -m bench.index [--photos DIR] [--quick]`.

One thread. Queries are photographs that the gallery does not hold; bench/gallery.py says what it holds. Alternatives
are timed in turns, so that other load on the machine is fair to all.
"""

import json
import os
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

from bench import gallery, report
from bench.gallery import Data
from bench.report import Row, say
from engine.index.annoy_index import Index
from engine.index.build import build
from engine.index.ranking import Vectors, scan

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
K = 10
TURNS = 5
WIDTHS = (10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640)  # hnswlib's ef
HNSWLIB_UP_TO = 10_000  # pictures: it takes minutes to build for more
BURST, BURSTS = 500, 5  # near-duplicates of the best match of each of so many queries

Search = Callable[[int], object]


@dataclass(frozen=True)
class Goals:
    """What the figures have to be; None where there is no goal.

    `exact`, `hnswlib`: the time of a search to theirs (hnswlib up to HNSWLIB_UP_TO pictures); `burst`: that of a
    query whose best match has BURST near-duplicates to that of the usual query (0: measured without a goal).
    """

    recall: float
    exact: float | None
    hnswlib: float | None
    build_s: float
    burst: float | None = None


SIZES = {10_000: Goals(0.99, 1 / 12, 1.0, 3), 100_000: Goals(0.99, 1 / 30, None, 30, burst=3)}
QUICK = {5_000: Goals(0.99, None, None, 3, burst=0)}  # ratios of so few pictures have no goal


def main() -> None:
    """Measure every size, print the table, write bench/out/index.json."""
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        # The libraries read these when they are loaded, which has happened by now.
        os.execve(sys.executable, [sys.executable, "-m", "bench.index", *sys.argv[1:]], os.environ | ONE_THREAD)
    chosen = report.options(__doc__)
    photographs = gallery.photographs(chosen.photos)
    rows: list[Row] = []
    for count, goals in (QUICK if chosen.quick else SIZES).items():
        rows += measure(gallery.make(photographs, count), goals)
    report.publish("index", rows)


def measure(data: Data, goals: Goals) -> Iterator[Row]:
    """Yield all figures for one gallery."""
    label = f"{len(data.gallery):,} "
    with tempfile.TemporaryDirectory(dir=report.OUT) as folder:
        directory = Path(folder) / "1"
        say(f"{label}building")
        started = time.perf_counter()
        manifest = build(directory, np.arange(len(data.gallery)), data.gallery, "bench", target_recall=goals.recall)
        build_s = time.perf_counter() - started
        how = f"search_k {manifest.parameters.search_k:,}, {manifest.parameters.candidates} candidates"
        yield from searches(label, Index.open(directory), data, goals, how)
        yield report.at_most(f"{label}build from embeddings", build_s, "s", goals.build_s)
    if goals.burst is not None:
        yield from bursts(label, data, goals.burst)


def searches(label: str, index: Index, data: Data, goals: Goals, how: str) -> Iterator[Row]:
    """Yield recall and times of the index, with the exact scan and hnswlib beside it."""
    true = [hits.ids for hits in index.exact(data.queries, K)]
    ours = recall((hits.ids for hits in index.search(data.queries, K)), true)
    compared: dict[str, Search] = {
        "index": lambda n: index.search(data.queries[n : n + 1], K),
        "exact": lambda n: exact_scan(data.gallery, data.queries[n]),
    }
    width = 0
    if len(data.gallery) <= HNSWLIB_UP_TO:
        say(f"{label}{how}; recall {ours:.4f}; building hnswlib")
        graph = build_graph(data.gallery)
        width = widen(graph, data.queries, true, ours)
        compared["hnswlib"] = lambda n: search_graph(graph, data.queries[n], width)
    times = p50_ms(compared, per_turn=min(100, 1_000_000 // len(data.gallery)), queries=len(data.queries))
    yield report.at_least(f"{label}recall@10 ({how})", ours, "", goals.recall)
    yield report.against(
        f"{label}one search, against the exact scan", times["index"], times["exact"], "ms", goals.exact
    )
    if width:
        name = f"{label}one search, against hnswlib at its recall (ef {width})"
        yield report.against(name, times["index"], times["hnswlib"], "ms", goals.hnswlib)


def bursts(label: str, data: Data, goal: float) -> Iterator[Row]:
    """Yield what the search stage of a worker takes for a query whose best match has BURST near-duplicates."""
    crowded = data.gallery.copy()
    random = np.random.default_rng(4)
    matches = np.array([hits.ids[0] for hits in scan(crowded, np.arange(len(crowded)), data.queries, 1)])
    # Queries with a best match of their own. Those of one class are side by side: bursts of one would meet.
    alone = np.sort(np.unique(matches, return_index=True)[1])
    chosen = alone[np.linspace(0, len(alone) - 1, BURSTS).astype(np.intp)]
    best = matches[chosen]
    free = np.setdiff1d(np.arange(len(crowded)), best)
    rows = random.permutation(free)[: BURST * BURSTS].reshape(BURSTS, -1)
    for original, copies in zip(best, rows, strict=True):
        crowded[copies] = gallery.near_duplicates(crowded[original], data.gallery, len(copies))
    with tempfile.TemporaryDirectory(dir=report.OUT) as folder:
        say(f"{label}building an index with {BURSTS} times {BURST} near-duplicates, and a database")
        # The database counts from 1.
        build(Path(folder) / "index" / "1", np.arange(1, len(crowded) + 1), crowded, "bench")
        others = data.queries[~np.isin(matches, best)]
        np.save(Path(folder) / "queries.npy", np.concatenate([data.queries[chosen], others]))
        command = [sys.executable, "-m", "bench.search_stage", folder, str(BURSTS)]
        measured = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    name = f"{label}best match with {BURST} near-duplicates, to the usual search: search stage"
    yield report.against(name, measured["burst"], measured["usual"], "ms", goal or None)


def p50_ms(alternatives: dict[str, Search], per_turn: int, queries: int, turns: int = TURNS) -> dict[str, float]:
    """Return the median time of each in milliseconds, measured in turns after a round to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in alternatives}
    for turn in range(turns + 1):
        for name, search in alternatives.items():
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


def search_graph(graph: hnswlib.Index, query: Vectors, width: int) -> NDArray[np.int64]:
    """Return hnswlib's ten."""
    graph.set_ef(width)
    found: NDArray[np.int64] = graph.knn_query(query, K, num_threads=1)[0][0].astype(np.int64)
    return found


def widen(graph: hnswlib.Index, queries: Vectors, true: list[NDArray[np.int64]], target: float) -> int:
    """Return the smallest of WIDTHS that reaches the recall, or the largest."""
    for width in WIDTHS:
        if recall((search_graph(graph, query, width) for query in queries), true) >= target:
            return width
    return WIDTHS[-1]


if __name__ == "__main__":
    main()
