"""The index against an exact scan and hnswlib: `python -m bench.index [--photos DIR] [--quick]`.

One thread. Queries are photographs that the gallery does not hold; bench/gallery.py says what it holds. Alternatives
are timed in turns, so that other load on the machine is fair to all.
"""

import os
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hnswlib
import numpy as np
from numpy.typing import NDArray

from bench import gallery, report
from bench.gallery import Data
from bench.report import Row, p50_ms, say
from bench.system import Site
from engine.index.annoy_index import Index
from engine.index.build import build
from engine.index.ranking import Vectors, scan

K = 10
WIDTHS = (10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640)  # hnswlib's ef
HNSWLIB_UP_TO = 10_000  # pictures: it takes minutes to build for more
BURST, BURSTS = 500, 5  # near-duplicates of the best match of each of so many queries
NEAR_DUPLICATES_FROM = 0.95


@dataclass(frozen=True)
class Goals:
    """What the figures have to be; None where there is no goal.

    `exact`, `hnswlib`: the time of a search to theirs (hnswlib up to HNSWLIB_UP_TO pictures); `burst`: that of a query
    whose best match has BURST near-duplicates to that of the usual query (0: measured without a goal, None: not).
    """

    recall: float
    exact: float | None
    hnswlib: float | None
    build_s: float
    burst: float | None = None


SIZES = {10_000: Goals(0.99, 1 / 12, 1.0, 3), 100_000: Goals(0.99, 1 / 30, None, 30, burst=3)}
QUICK = {5_000: Goals(0.99, None, None, 3, burst=0)}  # ratios of so few pictures have no goal


def measure(directory: Path, chosen: Namespace) -> Iterator[Row]:
    """Yield the figures of every size."""
    photographs = gallery.photographs(chosen.photos)
    for count, goals in (QUICK if chosen.quick else SIZES).items():
        data, label, folder = gallery.make(photographs, count), f"{count:,} ", directory / str(count)
        say(f"{label}building")
        started = time.perf_counter()
        manifest = build(folder, np.arange(count), gallery.blocks(data.gallery), "bench", target_recall=goals.recall)
        build_s = time.perf_counter() - started
        how = f"search_k {manifest.parameters.search_k:,}, {manifest.parameters.candidates} candidates"
        yield from searches(label, Index.open(folder), data, goals, how)
        yield report.at_most(f"{label}build from embeddings", build_s, "s", goals.build_s)
        if goals.burst is not None:
            yield bursts(label, directory / "site", data, goals.burst)


def searches(label: str, index: Index, data: Data, goals: Goals, how: str) -> Iterator[Row]:
    """Yield recall and times of the index, with the exact scan and hnswlib beside it."""
    true = [hits.ids for hits in index.exact(data.queries, K)]
    ours = recall((hits.ids for hits in index.search(data.queries, K)), true)
    compared: dict[str, Callable[[int], object]] = {
        "index": lambda n: index.search(data.queries[n : n + 1], K),
        # The best ten of all, unordered: the least numpy can do.
        "exact": lambda n: np.argpartition(data.gallery @ data.queries[n], -K)[-K:],
    }
    width = 0
    if len(data.gallery) <= HNSWLIB_UP_TO:
        say(f"{label}{how}; recall {ours:.4f}; building hnswlib")
        graph = build_graph(data.gallery)
        width = widen(graph, data.queries, true, ours)
        compared["hnswlib"] = lambda n: search_graph(graph, data.queries[n], width)
    times = p50_ms(compared, per_turn=min(100, 1_000_000 // len(data.gallery)), queries=len(data.queries))
    yield report.at_least(f"{label}recall@10 ({how})", ours, "", goals.recall)
    name = f"{label}one search, against the exact scan"
    yield report.at_most(name, times["index"], "ms", goals.exact, times["exact"])
    if width:
        name = f"{label}one search, against hnswlib at its recall (ef {width})"
        yield report.at_most(name, times["index"], "ms", goals.hnswlib, times["hnswlib"])


def bursts(label: str, data_dir: Path, data: Data, goal: float) -> Row:
    """Return what the search stage of a worker takes for a query whose best match has BURST near-duplicates."""
    crowded, chosen, usual = crowd(data)
    say(f"{label}building an index with {BURSTS} times {BURST} near-duplicates, and a database")
    site = Site(data_dir)
    site.use()
    site.fill(crowded)
    from tasks.indexing.build import build_generation
    from tasks.search.near_duplicates import Rule
    from tasks.search.neighbours import Neighbours, SearchRequest

    build_generation("bench", say)
    neighbours = Neighbours("bench")
    neighbours.refresh()
    request = SearchRequest(K, near_duplicates=Rule(NEAR_DUPLICATES_FROM, by_cosine_alone=True))
    assert all(len(found[0].duplicates) > K for found in neighbours.search(chosen, [request] * BURSTS))

    def stage(query: Vectors) -> None:
        neighbours.refresh()
        neighbours.search(query[None], [request])

    alternatives = {"usual": lambda n: stage(usual[n]), "burst": lambda n: stage(chosen[n % BURSTS])}
    times = p50_ms(alternatives, per_turn=40, queries=len(usual))
    name = f"{label}best match with {BURST} near-duplicates, to the usual search: search stage"
    return report.at_most(name, times["burst"], "ms", goal or None, times["usual"])


def crowd(data: Data) -> tuple[Vectors, Vectors, Vectors]:
    """Return a gallery with near-duplicates of the best matches of BURSTS queries, these queries, and the others."""
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
    return crowded, data.queries[chosen], data.queries[~np.isin(matches, best)]


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
    report.run("index", __doc__, measure, folder=report.OUT, one_thread=True)
