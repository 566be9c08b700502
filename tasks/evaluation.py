"""How good the searches are: precision by label, recall against the exact search, time per search."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.index import Index
from gallery.models import Embedding

RECALL_SAMPLE = 1000
PRECISION_SAMPLE = 10_000  # each is compared with the whole gallery
BLOCK = 256
SPARE = 20  # hidden pictures among the nearest ones are passed over
SEED = 1

Rows = NDArray[np.intp]
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Evaluation:
    """`precision`: the mean share of the k nearest other pictures that carry a picture's own label (None: no labels).

    `recall`: the mean share of the true k nearest that the index finds; times are of one search, in ms.
    """

    k: int
    images: int
    labelled: int
    precision: float | None
    recall: float
    search_p50_ms: float
    search_p95_ms: float


def steps(index: Index) -> int:
    """How far `advance` counts."""
    return min(len(index.ids), RECALL_SAMPLE) + min(len(index.ids), PRECISION_SAMPLE)


def evaluate(index: Index, network: str, k: int, advance: Advance) -> Evaluation:
    """Leave-one-out precision over the labelled visible pictures; recall and time over a fixed sample.

    Precision@k and recall@k as in Manning et al., Introduction to Information Retrieval, chapter 8.
    """
    labels = _labels(network)
    recall, times_ms = _recall_and_times(index, _sample(len(index.ids), RECALL_SAMPLE), k, advance)
    rows = _sample(len(index.ids), PRECISION_SAMPLE)
    labelled = np.array([row for row in rows if labels.get(int(index.ids[row]))], np.intp)
    precision = _precision(index, labelled, labels, k, advance)
    advance(len(rows) - len(labelled))
    return Evaluation(
        k=k,
        images=len(index.ids),
        labelled=len(labelled),
        precision=precision,
        recall=recall,
        search_p50_ms=round(float(np.median(times_ms)), 3),
        search_p95_ms=round(float(np.percentile(times_ms, 95)), 3),
    )


def _labels(network: str) -> dict[int, str]:
    rows = Embedding.objects.filter(network=network, image__is_hidden=False)
    return dict(rows.values_list("id", "image__label"))


def _sample(count: int, size: int) -> Rows:
    """Rows of the index: the same ones each time."""
    return np.sort(np.random.default_rng(SEED).permutation(count)[:size])


def _recall_and_times(index: Index, rows: Rows, k: int, advance: Advance) -> tuple[float, list[float]]:
    shares, times_ms = [], []
    for start in range(0, len(rows), BLOCK):
        vectors = index.vectors_at(rows[start : start + BLOCK])
        for vector, true in zip(vectors, index.exact(vectors, k), strict=True):
            began = time.perf_counter()
            [found] = index.search(vector[None], k)
            times_ms.append((time.perf_counter() - began) * 1000)
            shares.append(len(np.intersect1d(found.ids, true.ids)) / len(true.ids))
        advance(len(vectors))
    return round(float(np.mean(shares)), 4), times_ms


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
