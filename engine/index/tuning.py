"""Choose search_k and the number of candidates: both grow until the measured recall is high enough."""

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
from annoy import AnnoyIndex
from numpy.typing import NDArray

from engine.index.annoy_index import candidate_rows
from engine.index.manifest import SearchParameters
from engine.index.pca import reduced, unit
from engine.index.protocol import TUNED_FOR
from engine.index.ranking import Rows, Vectors, scan

TREES = 20
QUERIES = 500  # 5,000 neighbours to find, so that a recall of 0.99 is known to about 0.0015
SPARE = 0.05  # share of the allowed misses that is kept in reserve for the error of the sample
PARTNERS, BLEND = 20, (0.3, 0.5)  # see Sample
FEWEST_PICTURES = 100  # in smaller galleries every picture is a candidate
FEWEST_SEARCH_K, STEP, STRIDE = 500, 1.1, 7  # seven steps double it
ENTRIES_A_CANDIDATE = 40  # search_k for each candidate: the two then take about the same time
MOST_CANDIDATES = 2000  # for a gallery without structure; the exact cosines of so many take 3 to 5 ms


@dataclass(frozen=True)
class Sample:
    """Stand-ins for uploads: queries [s, 4096], the two rows each is made of, its exact top ten without these [s, 10].

    An upload is not in the gallery. The gallery's own pictures are easier as queries: the trees were built around
    them, and often their near-duplicates are in it. A query is therefore a blend of a picture and one of its PARTNERS
    nearest others, both left out of the results; the second has a weight between the two of BLEND. Such queries are
    a little harder than photographs that were kept out of the gallery (`make bench-index` prints both recalls).
    """

    queries: Vectors
    hidden: Rows
    true: Rows

    @classmethod
    def draw(cls, vectors: Vectors, seed: int) -> Self:
        """Draw from vectors [n, 4096], n over PARTNERS, and search exactly."""
        random = np.random.default_rng(seed)
        count, all_rows = min(QUERIES, len(vectors)), np.arange(len(vectors))
        first = np.sort(random.choice(len(vectors), count, replace=False))
        near = scan(vectors, all_rows, vectors[first], PARTNERS + 1)
        others = [hits.ids[hits.ids != row] for row, hits in zip(first, near, strict=True)]
        second = np.array([random.choice(rows[:PARTNERS]) for rows in others])
        share = random.uniform(*BLEND, (count, 1)).astype(np.float32)
        queries = unit((1 - share) * vectors[first] + share * vectors[second])
        hidden = np.stack([first, second], axis=1)
        nearest = scan(vectors, all_rows, queries, 2 + TUNED_FOR)
        true = [hits.ids[~np.isin(hits.ids, rows)][:TUNED_FOR] for rows, hits in zip(hidden, nearest, strict=True)]
        return cls(queries, hidden, np.array(true))


@dataclass(frozen=True)
class Tuning:
    """The chosen parameters, the recall@10 measured with them, and on how many queries."""

    parameters: SearchParameters
    recall: float
    sample: int


def tune(annoy: AnnoyIndex, components: Vectors, vectors: Vectors, target: float, seed: int) -> Tuning:
    """Return the smallest parameters whose recall on a Sample of vectors [n, 4096] reaches `target` with some to spare.

    Where none do: those with the most candidates.
    """
    count = len(vectors)
    if count <= FEWEST_PICTURES:
        return Tuning(SearchParameters(annoy.f, TREES, TREES * count, count), 1.0, 0)
    sample = Sample.draw(vectors, seed)
    short = reduced(sample.queries, components)
    goal = 1 - (1 - target) * (1 - SPARE)
    steps = list(_growing(TREES * count, count))

    @cache
    def at(number: int) -> Tuning:
        search_k, most = steps[number]
        ranks = _ranks(annoy, sample, short, most, search_k)
        # The fewest that contain the share `goal` of the true neighbours, at most `most`.
        needed = np.sort(ranks, axis=None)[math.ceil(goal * ranks.size) - 1] + 1
        candidates = int(min(max(needed, 2 * TUNED_FOR), most))
        recall = float((ranks < candidates).mean())
        return Tuning(SearchParameters(annoy.f, TREES, search_k, candidates), recall, len(ranks))

    # The recall grows with search_k: look at every STRIDE-th step first, then bisect the steps before it.
    last = len(steps) - 1
    end = next((number for number in range(0, last, STRIDE) if at(number).recall >= goal), last)
    start = max(0, end - STRIDE + 1)
    return at(bisect_left(range(end), True, start, end, key=lambda number: at(number).recall >= goal))


def _growing(entries: int, count: int) -> Iterator[tuple[int, int]]:
    """Yield search_k with its maximum of candidates, up to all `entries` of the trees."""
    search_k = FEWEST_SEARCH_K
    while search_k < entries:
        yield search_k, min(max(TUNED_FOR, search_k // ENTRIES_A_CANDIDATE), MOST_CANDIDATES, count)
        search_k = round(search_k * STEP)
    yield entries, min(MOST_CANDIDATES, count)


def _ranks(annoy: AnnoyIndex, sample: Sample, short: Vectors, most: int, search_k: int) -> NDArray[np.float64]:
    """Return [s, 10]: how many candidates come before each true neighbour (infinite: it is none of `most`)."""
    ranks = np.full(sample.true.shape, np.inf)
    for row, query in enumerate(short):
        found = candidate_rows(annoy, query, most + 2, search_k)
        found = found[~np.isin(found, sample.hidden[row])][:most]
        true, places = np.nonzero(sample.true[row][:, None] == found)
        ranks[row, true] = places
    return ranks
