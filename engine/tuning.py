"""How a gallery is best searched: ways are tried on its own pictures, and the cheapest that finds enough is taken."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from annoy import AnnoyIndex
from numpy.typing import NDArray

from engine.candidates import QUERIES_AT_ONCE, grow_trees
from engine.manifest import Parameters
from engine.ranking import Rows, Vectors, scan
from engine.reduction import unit

NEIGHBOURS = 10
RELATIVES = 5  # nearest neighbours of a sampled picture that are hidden with it: see Sample
SAMPLE = 400  # 4,000 neighbours to find: a recall of 0.99 is known to about 0.002
# Pictures that are in Annoy's trees are found a little better there than uploads, and a sample has luck:
# with 1.4 times the misses that were measured a target must still hold.
MISSES_ALLOWED = 1 / 1.5
DIMENSIONS = (48, 64, 96, 128)
TREES = 20  # 10 find less for the same search_k, 40 no more
SEARCH_K = (1000, 2000, 4000, 8000, 16000, 32000)
FEWEST_CANDIDATES, MOST_CANDIDATES = 20, 1000
FEWEST_PICTURES = 500  # under this an exact scan takes 0.1 to 0.2 ms: nothing pays
MOST_PICTURES_EXACT = 10_000  # over this an exact scan (7 ms) is no way out even where all else misses the target
FEWEST_PICTURES_ANNOY = 100_000  # under this the scan of reduced vectors is quicker at any recall from 0.97 up

# Microseconds on one core of an AMD EPYC (Zen 4); only how they compare matters.
EXACT_ROW_US = 0.7
PROJECTION_US = 0.3  # for each dimension
REDUCED_NUMBER_US = 0.0002
CANDIDATE_US = 2.0
NODE_US = 0.07  # each of search_k, at 10,000 pictures; 0.1 more for every tenfold, as caches miss
NODE_GROWTH_US = 0.1

METHODS = ("exact", "scan", "annoy")


@dataclass(frozen=True)
class Sample:
    """Pictures of the gallery asked for as if they were uploads: rows [s], hidden [s, h] and true [s, 10] rows.

    An upload is not in the gallery, and mostly nothing of its series is; a picture of the gallery comes with
    its copies and series, which are found easily. So the picture and its closest five are taken out of every
    answer, and the ten that follow are to be found. (With the picture alone taken out, 10,000 crops of
    photographs were found with a recall of 0.994 where crops of other photographs had 0.985.)
    """

    rows: Rows
    hidden: Rows
    true: Rows

    @classmethod
    def draw(cls, vectors: Vectors, seed: int) -> "Sample":
        """Draw from vectors [n, 4096], n at least FEWEST_PICTURES, and look up exactly what is near."""
        random = np.random.default_rng(seed)
        rows = np.sort(random.choice(len(vectors), min(len(vectors), SAMPLE), replace=False))
        near = scan(vectors, np.arange(len(vectors)), vectors[rows], 1 + RELATIVES + NEIGHBOURS)
        # A picture with many copies may not be among its own nearest: it is put first whatever came.
        ordered = np.array(
            [[row, *hits.ids[hits.ids != row]][: len(hits.ids)] for row, hits in zip(rows, near, strict=True)]
        )
        return cls(rows, ordered[:, : 1 + RELATIVES], ordered[:, 1 + RELATIVES :])


@dataclass(frozen=True)
class Way:
    """One way to search: its measured recall, what a query costs, and the trees where it has some."""

    method: str
    parameters: Parameters
    recall: float
    sample: int
    cost_us: float
    annoy: AnnoyIndex | None = None


def choose(vectors: Vectors, products: Vectors, *, target: float, method: str | None, seed: int) -> Way:
    """Return the cheapest way that reaches `target`, or the one that finds most where none does.

    `vectors` [n, 4096], n at least FEWEST_PICTURES; `products` [n, DIMENSIONS[-1]]: with the basis of a
    Reduction; `method` ("scan", "annoy"): only that one.
    """
    count, best = len(vectors), None
    aim = 1 - (1 - target) * MISSES_ALLOWED
    sample = Sample.draw(vectors, seed)
    if method is None and count <= MOST_PICTURES_EXACT:
        best = exact_way(count)
    if method != "annoy":
        best = _better(best, _scan_ways(sample, products, aim), aim)
    if method == "annoy" or (method is None and count >= FEWEST_PICTURES_ANNOY):
        best = _try_annoy(best, sample, products, aim, seed)
    if best is None:
        raise ValueError(f"There is no method {method}.")
    return best


def exact_way(count: int) -> Way:
    """Return the way that compares every one of `count` vectors."""
    return Way("exact", Parameters(), 1.0, 0, count * EXACT_ROW_US)


def _better(best: Way | None, ways: Iterable[Way], target: float) -> Way | None:
    def dislike(way: Way) -> tuple[bool, float]:
        return (False, way.cost_us) if way.recall >= target else (True, -way.recall)

    return min([way for way in (best, *ways) if way is not None], key=dislike, default=None)


def _scan_ways(sample: Sample, products: Vectors, target: float) -> Iterator[Way]:
    for dimension in DIMENSIONS:
        candidates, recall = enough(_places_in_scan(sample, unit(products[:, :dimension])), target)
        cost_us = dimension * (PROJECTION_US + len(products) * REDUCED_NUMBER_US) + candidates * CANDIDATE_US
        yield Way("scan", Parameters(dimension, 0, 0, candidates), recall, len(sample.rows), cost_us)


def _try_annoy(best: Way | None, sample: Sample, products: Vectors, target: float, seed: int) -> Way | None:
    node_us = NODE_US + NODE_GROWTH_US * max(0.0, math.log10(len(products) / 10_000))
    for dimension in DIMENSIONS[1:]:
        reduced = unit(products[:, :dimension])
        annoy = grow_trees(reduced, TREES, seed)
        for search_k in SEARCH_K:
            cost_us = dimension * PROJECTION_US + search_k * node_us
            if best is not None and best.recall >= target and cost_us >= best.cost_us:
                break
            candidates, recall = enough(_places_in_trees(sample, reduced, annoy, search_k), target)
            asked = Parameters(dimension, TREES, search_k, candidates)
            cost_us += candidates * CANDIDATE_US
            best = _better(best, [Way("annoy", asked, recall, len(sample.rows), cost_us, annoy)], target)
    return best


def enough(places: NDArray[np.float64], target: float) -> tuple[int, float]:
    """Return how many candidates reach `target`, within limits, and the recall they reach.

    `places`: for every true neighbour, how many candidates come before it (infinite: it is not among them).
    """
    ordered = np.sort(places, axis=None)
    last = ordered[math.ceil(target * len(ordered)) - 1]
    candidates = int(min(max(last + 1, FEWEST_CANDIDATES), MOST_CANDIDATES))
    return candidates, float((ordered < candidates).mean())


def _places_in_scan(sample: Sample, reduced: Vectors) -> NDArray[np.float64]:
    places = np.empty(sample.true.shape)
    for start in range(0, len(places), QUERIES_AT_ONCE):
        part = slice(start, start + QUERIES_AT_ONCE)
        scores = reduced[sample.rows[part]] @ reduced.T
        np.put_along_axis(scores, sample.hidden[part], -np.inf, axis=1)
        for column, true in enumerate(sample.true[part].T):
            places[part, column] = (scores > np.take_along_axis(scores, true[:, None], axis=1)).sum(axis=1)
    return places


def _places_in_trees(sample: Sample, reduced: Vectors, annoy: AnnoyIndex, search_k: int) -> NDArray[np.float64]:
    places = np.full(sample.true.shape, np.inf)
    for query, (row, hidden, true) in enumerate(zip(sample.rows, sample.hidden, sample.true, strict=True)):
        found = annoy.get_nns_by_vector(reduced[row].tolist(), MOST_CANDIDATES + hidden.size, search_k)
        left = np.setdiff1d(found, hidden, assume_unique=True)  # keeps the order
        which, place = np.nonzero(true[:, None] == left)
        places[query, which] = place
    return places
