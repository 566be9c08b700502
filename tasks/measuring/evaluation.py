"""Measure the searches: precision by label, and recall and latency of the index.

The measures are those of Manning, Raghavan and Schütze, Introduction to Information Retrieval (2008), chapter 8.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.index.protocol import SearchIndex
from gallery.models import Embedding

QUERIES = 10_000  # each is compared with every labelled picture
TIMED = 320  # searches of the index that are timed
CONFUSIONS = 3  # of each label
WORST_QUERIES = 20  # shown as pictures
BLOCK_NUMBERS = 2**23  # cosines in memory at once: 32 MB, and about 100 MB while they are ranked
ROWS = 2048  # vectors copied at once: 32 MB
SEED = 1

Rows = NDArray[np.intp]
Advance = Callable[[int], None]


class NoLabels(Exception):
    """There are no labels to measure precision with; the text says what to do."""


@dataclass(frozen=True)
class Confusion:
    """A wrong label, and how many wrong matches have it."""

    label: str
    matches: int


@dataclass(frozen=True)
class LabelPrecision:
    """One label: its pictures, their mean precision@k, and the labels that their wrong matches have most often."""

    label: str
    pictures: int
    precision_at_k: float
    confusions: list[Confusion]


@dataclass(frozen=True)
class IndexSearch:
    """The share of the true k nearest pictures that the index finds, and the latency of one search in ms."""

    recall_at_k: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Evaluation:
    """What was measured; `labels` begins with the worst one.

    `images` in the index, `labelled` and visible ones among them, `queries` of these.
    """

    k: int
    images: int
    labelled: int
    queries: int
    precision_at_1: float
    precision_at_k: float
    mean_average_precision: float
    index: IndexSearch
    labels: list[LabelPrecision]


@dataclass(frozen=True)
class Ranking:
    """One query's best matches as rows of the labelled pictures, best first, their cosines, and two measures."""

    row: int
    matches: Rows
    cosines: NDArray[np.float32]
    precision: float
    average_precision: float


class Labelled:
    """The labelled visible pictures of an index: `rows` of the index, `ids` of their embeddings, `labels`.

    `queries`: places in these three, a fixed sample of the pictures whose label another picture has too.
    Raises NoLabels.
    """

    def __init__(self, index: SearchIndex, model_id: str) -> None:
        rows = Embedding.objects.filter(model_id=model_id, image__is_hidden=False).exclude(image__label="")
        known = dict(rows.values_list("id", "image__label"))
        self.rows: Rows = np.array([row for row, id_ in enumerate(index.ids.tolist()) if id_ in known], np.intp)
        self.ids: list[int] = index.ids[self.rows].tolist()
        self.labels = [known[id_] for id_ in self.ids]
        self.names, self.codes = np.unique(np.array(self.labels, dtype=object), return_inverse=True)
        often = Counter(self.labels)
        repeated = np.array([place for place, label in enumerate(self.labels) if often[label] > 1], np.intp)
        if not len(repeated):
            raise NoLabels("No two visible pictures have the same label; label some in the admin, then try again.")
        self.queries = sample(repeated, QUERIES)


def steps(index: SearchIndex, labelled: Labelled) -> int:
    """Return how far `advance` counts."""
    return len(labelled.queries) + min(len(index.ids), TIMED)


def evaluate(index: SearchIndex, labelled: Labelled, k: int, advance: Advance) -> tuple[Evaluation, list[Ranking]]:
    """Measure precision by leave-one-out, and the index by a fixed sample; returns every query's ranking as well.

    Precision@k: the share of a query's k nearest other pictures that have its label. Average precision: the mean of
    the precisions at the rank of each picture with its label, over the whole ranking; its mean over the queries is the
    mean average precision. Only labelled visible pictures are ranked: whether another one matches is unknown.
    """
    rankings = list(_rankings(index, labelled, k, advance))
    result = Evaluation(
        k=k,
        images=len(index.ids),
        labelled=len(labelled.ids),
        queries=len(rankings),
        precision_at_1=_mean([labelled.codes[one.matches[0]] == labelled.codes[one.row] for one in rankings]),
        precision_at_k=_mean([query.precision for query in rankings]),
        mean_average_precision=_mean([query.average_precision for query in rankings]),
        index=_measure_index(index, k, advance),
        labels=_by_label(labelled, rankings),
    )
    return result, rankings


def worst_queries(rankings: Sequence[Ranking], labelled: Labelled) -> list[dict[str, Any]]:
    """Return the queries with the lowest precision and their matches: label, and id of the picture ("" if deleted)."""
    worst = sorted(rankings, key=lambda query: (query.precision, query.average_precision))[:WORST_QUERIES]
    ids = {labelled.ids[place] for one in worst for place in (one.row, *one.matches.tolist())}
    images = dict(Embedding.objects.filter(id__in=ids).values_list("id", "image__id"))

    def picture(place: int) -> dict[str, Any]:
        return {"image": str(images.get(labelled.ids[place]) or ""), "label": labelled.labels[place]}

    return [
        picture(one.row)
        | {
            "precision": round(one.precision, 3),
            "matches": [
                picture(place) | {"cosine": round(cosine, 3)}
                for place, cosine in zip(one.matches.tolist(), one.cosines.tolist(), strict=True)
            ],
        }
        for one in worst
    ]


def sample(rows: Rows, size: int) -> Rows:
    """Return up to `size` of the rows, the same ones each time."""
    return np.sort(np.random.default_rng(SEED).permutation(rows)[:size])


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4)


# --- Precision ----------------------------------------------------------------------------------------------


def _rankings(index: SearchIndex, labelled: Labelled, k: int, advance: Advance) -> Iterator[Ranking]:
    at_once = max(1, min(256, BLOCK_NUMBERS // len(labelled.rows)))
    for start in range(0, len(labelled.queries), at_once):
        places = labelled.queries[start : start + at_once]
        queries = index.vectors_at(labelled.rows[places])
        cosines = np.empty((len(queries), len(labelled.rows)), np.float32)
        for first in range(0, len(labelled.rows), ROWS):
            part = slice(first, first + ROWS)
            np.matmul(queries, index.vectors_at(labelled.rows[part]).T, out=cosines[:, part])
        for place, row in zip(places.tolist(), cosines, strict=True):
            row[place] = -np.inf  # the picture itself comes last
            order = np.argsort(-row, kind="stable")[:-1]
            right = labelled.codes[order] == labelled.codes[place]
            ranks = np.flatnonzero(right) + 1
            average = float(np.mean(np.arange(1, len(ranks) + 1) / ranks))
            yield Ranking(place, order[:k], row[order[:k]], float(np.mean(right[:k])), average)
        advance(len(places))


def _by_label(labelled: Labelled, rankings: Sequence[Ranking]) -> list[LabelPrecision]:
    often = Counter(labelled.labels)
    precisions: dict[str, list[float]] = {}
    wrong: dict[str, Counter[str]] = {}
    for query in rankings:
        own = labelled.labels[query.row]
        precisions.setdefault(own, []).append(query.precision)
        others = (labelled.labels[place] for place in query.matches.tolist())
        wrong.setdefault(own, Counter()).update(label for label in others if label != own)
    confusions = {
        own: [Confusion(*one) for one in sorted(others.items(), key=lambda item: (-item[1], item[0]))[:CONFUSIONS]]
        for own, others in wrong.items()
    }
    labels = [LabelPrecision(own, often[own], _mean(each), confusions[own]) for own, each in precisions.items()]
    return sorted(labels, key=lambda one: (one.precision_at_k, one.label))


# --- The index ----------------------------------------------------------------------------------------------


def _measure_index(index: SearchIndex, k: int, advance: Advance) -> IndexSearch:
    """Search one by one for k pictures besides the query's own."""
    found, took_ms = [], []
    for row in sample(np.arange(len(index.ids)), TIMED):
        vector = index.vectors_at(row[None])
        began = time.perf_counter()
        [hits] = index.search(vector, k + 1)
        took_ms.append((time.perf_counter() - began) * 1000)
        [true] = index.exact(vector, k + 1)
        others = true.ids[true.ids != index.ids[row]][:k]
        found.append(float(np.isin(others, hits.ids).mean()) if len(others) else 1.0)
        advance(1)
    p50, p95, p99 = (round(float(value), 3) for value in np.percentile(took_ms, [50, 95, 99]))
    return IndexSearch(_mean(found), p50, p95, p99)
