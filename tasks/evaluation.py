"""How good the searches are: precision by label; recall and time of the index, of exact search and of plain Annoy."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from annoy import AnnoyIndex
from numpy.typing import NDArray

from engine.index import Hits, Index
from engine.networks.registry import EMBEDDING_SIZE
from gallery.models import Embedding
from tasks.newer import Vectors

SAMPLE = 320  # searches that are timed: ten batches
BATCH = 32
PRECISION_SAMPLE = 10_000  # each is compared with the whole gallery
BLOCK = 256
SPARE = 20  # hidden pictures among the nearest ones are passed over
PLAIN_TREES = 10  # as in Annoy's own example; its search_k is left at the default
PLAIN_MOST = 20_000  # pictures: more take Annoy gigabytes over 4096 numbers
SEED = 1

Rows = NDArray[np.intp]
Advance = Callable[[int], None]
Search = Callable[[Vectors, int], list[Hits]]


@dataclass(frozen=True)
class Times:
    """Quantiles of the time of a search, in ms."""

    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Way:
    """One way to search: the share of the true k nearest that it finds, and its time.

    `one`: a search alone; `batch`: a search among 32 that are made together.
    """

    name: str
    recall: float
    one: Times
    batch: Times


@dataclass(frozen=True)
class Evaluation:
    """`precision`: the mean share of the k nearest other pictures with the picture's own label (None: no labels)."""

    k: int
    images: int
    labelled: int
    precision: float | None
    ways: list[Way]


def steps(index: Index) -> int:
    """How far `advance` counts."""
    ways = 3 if len(index.ids) <= PLAIN_MOST else 2
    return ways * min(len(index.ids), SAMPLE) + min(len(index.ids), PRECISION_SAMPLE)


def evaluate(index: Index, network: str, k: int, advance: Advance) -> Evaluation:
    """Leave-one-out precision over the labelled visible pictures; recall and time over a fixed sample.

    Precision@k and recall@k as in Manning et al., Introduction to Information Retrieval, chapter 8.
    """
    labels = _labels(network)
    ways = _ways(index, k, advance)
    rows = _sample(len(index.ids), PRECISION_SAMPLE)
    labelled = np.array([row for row in rows if labels.get(int(index.ids[row]))], np.intp)
    precision = _precision(index, labelled, labels, k, advance)
    advance(len(rows) - len(labelled))
    return Evaluation(k, len(index.ids), len(labelled), precision, ways)


def _labels(network: str) -> dict[int, str]:
    rows = Embedding.objects.filter(network=network, image__is_hidden=False)
    return dict(rows.values_list("id", "image__label"))


def _sample(count: int, size: int) -> Rows:
    """Rows of the index: the same ones each time."""
    return np.sort(np.random.default_rng(SEED).permutation(count)[:size])


# --- Recall and time ----------------------------------------------------------------------------------------


def _ways(index: Index, k: int, advance: Advance) -> list[Way]:
    vectors = index.vectors_at(_sample(len(index.ids), SAMPLE))
    true = index.exact(vectors, k)
    searches: dict[str, Search] = {"index": index.search, "exact": index.exact}
    if len(index.ids) <= PLAIN_MOST:
        searches["annoy"] = _plain_annoy(index)
    return [_measure(name, search, vectors, true, k, advance) for name, search in searches.items()]


def _measure(name: str, search: Search, vectors: Vectors, true: list[Hits], k: int, advance: Advance) -> Way:
    one_ms, batch_ms, shares = [], [], []
    for start in range(0, len(vectors), BATCH):
        batch = vectors[start : start + BATCH]
        _, took_ms = _timed(search, batch, k)
        batch_ms.append(took_ms / len(batch))
        for vector, wanted in zip(batch, true[start : start + BATCH], strict=True):
            [found], took_ms = _timed(search, vector[None], k)
            one_ms.append(took_ms)
            shares.append(len(np.intersect1d(found.ids, wanted.ids)) / len(wanted.ids))
        advance(len(batch))
    return Way(name, round(float(np.mean(shares)), 4), _times(one_ms), _times(batch_ms))


def _timed(search: Search, vectors: Vectors, k: int) -> tuple[list[Hits], float]:
    began = time.perf_counter()
    found = search(vectors, k)
    return found, (time.perf_counter() - began) * 1000


def _times(took_ms: list[float]) -> Times:
    return Times(*(round(float(quantile), 3) for quantile in np.percentile(took_ms, [50, 95, 99])))


def _plain_annoy(index: Index) -> Search:
    """Annoy as most people use it: all 4096 numbers, angular, no exact ranking."""
    annoy = AnnoyIndex(EMBEDDING_SIZE, "angular")
    annoy.set_seed(SEED)
    for row, vector in enumerate(index.vectors_at(np.arange(len(index.ids)))):
        annoy.add_item(row, vector)
    annoy.build(PLAIN_TREES, 1)

    def search(vectors: Vectors, k: int) -> list[Hits]:
        found = [annoy.get_nns_by_vector(vector, k, include_distances=True) for vector in vectors]
        return [Hits(index.ids[rows], _cosines(distances)) for rows, distances in found]

    return search


def _cosines(distances: list[float]) -> Vectors:
    """From Annoy's angular distances, which are sqrt(2 - 2 cos)."""
    cosines: Vectors = np.subtract(1, np.square(distances) / 2, dtype=np.float32)
    return cosines


# --- Precision ----------------------------------------------------------------------------------------------


def _precision(index: Index, rows: Rows, labels: dict[int, str], k: int, advance: Advance) -> float | None:
    shares = []
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        nearest = index.exact(index.vectors_at(block), k + 1 + SPARE)
        for own, hits in zip(index.ids[block].tolist(), nearest, strict=True):
            others = [labels[id_] for id_ in hits.ids.tolist() if id_ != own and id_ in labels][:k]
            if others:
                shares.append(others.count(labels[own]) / len(others))
        advance(len(block))
    return round(float(np.mean(shares)), 4) if shares else None
