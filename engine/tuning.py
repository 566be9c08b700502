"""How a gallery is best searched: ways are tried on its own pictures; the cheapest that finds enough is taken."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.candidates import QUERIES_AT_ONCE
from engine.forest import Forest
from engine.manifest import Parameters
from engine.ranking import Rows, Vectors, scan
from engine.reduction import Reduction, unit

NEIGHBOURS = 10
SAMPLE = 500  # pictures: 5,000 neighbours to find, so that a recall of 0.9975 is known to about 0.001
AIM = 0.75  # of the misses that the target allows: photographs kept out miss up to 0.003 more than the sample
SHARES = (0.1, 0.25, 0.5)  # of these, for the choice from the shortlist; the shortlist may have the rest
BLEND = (0.3, 0.5)  # see Sample
REDUCED = 192  # dimension; with 128 twice the candidates are needed at 100,000 pictures, 256 save few
COARSE = (48, 64, 96)
TREES = 40  # at 100,000 pictures and 96 numbers 0.981 of the true ten for a search_k of 6,000; 20 trees 0.976
SEARCH_K = (1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 10000, 12000, 16000, 24000, 32000)
CANDIDATES = (20, 500)  # fewest and most
SHORTLIST = (40, 5000)
FEWEST_PICTURES = 800  # under this an exact scan takes 0.2 ms (they stay in the cache): nothing pays
MOST_PICTURES_EXACT = 10_000  # over this an exact scan (7 ms) is no way out even where all else misses
FEWEST_PICTURES_ANNOY = 100_000  # under this the scan of coarse vectors is the quicker at any recall that counts

# Microseconds on one core of an AMD EPYC (Zen 4); only how they compare matters.
EXACT_ROW_US = 0.7
PRODUCT_US = 0.3  # for each dimension
COARSE_NUMBER_US = 0.0002
SHORTLISTED_US = 0.3
CANDIDATE_US = 2.0
NODE_US = 0.05  # each of search_k, at 10,000 pictures;
NODE_GROWTH_US = 0.05  # more for every tenfold, as caches miss

METHODS = ("exact", "scan", "annoy")

Places = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Stand-ins for uploads: queries [s, 4096], hidden [s, 2] and true [s, 10] rows.

    An upload is not in the gallery, nor mostly is anything of its series. The gallery's own pictures come
    with their copies and series, and sit in Annoy's trees: they are far too easy. (100,000 vectors, each with
    nine near copies, `search_k` 2,000: 0.997 of the true ten for the gallery's own, 0.90 for photographs
    kept out of it.) So a query is a blend of two pictures, which are both left out of the answer; the second
    has BLEND (from, to) of the weight. That is a little harder than photographs kept out.
    """

    queries: Vectors
    hidden: Rows
    true: Rows

    @classmethod
    def draw(cls, vectors: Vectors, seed: int) -> "Sample":
        """Draw from vectors [n, 4096], n over 12, and look up exactly what is near."""
        random = np.random.default_rng(seed)
        pairs = np.array([random.choice(len(vectors), 2, replace=False) for _ in range(SAMPLE)])
        share = random.uniform(*BLEND, (SAMPLE, 1)).astype(np.float32)
        queries = unit((1 - share) * vectors[pairs[:, 0]] + share * vectors[pairs[:, 1]])
        nearest = scan(vectors, np.arange(len(vectors)), queries, 2 + NEIGHBOURS)
        others = [hits.ids[~np.isin(hits.ids, pair)] for pair, hits in zip(pairs, nearest, strict=True)]
        return cls(queries, pairs, np.array([ids[:NEIGHBOURS] for ids in others]))


@dataclass(frozen=True)
class Way:
    """One way to search: its measured recall, what a query costs, and the trees where it has some."""

    method: str
    parameters: Parameters
    recall: float
    sample: int
    cost_us: float
    forest: Forest | None = None


class Trial:
    """What all ways have in common: the sample, all pictures and the sample reduced, and the target."""

    def __init__(self, vectors: Vectors, reduction: Reduction, products: Vectors, target: float, seed: int) -> None:
        self.sample = Sample.draw(vectors, seed)
        self.products = products
        self.target = target
        self.seed = seed
        self._queries = reduction.products(self.sample.queries)
        self._fine = places_in_scan(self.sample, *self.coarse(REDUCED))

    def coarse(self, dimension: int) -> tuple[Vectors, Vectors]:
        """Return the queries and all pictures by their first `dimension` numbers, of unit length."""
        return unit(self._queries[:, :dimension]), unit(self.products[:, :dimension])

    def way(self, method: str, asked: Parameters, coarse: Places, us: float, forest: Forest | None) -> Way:
        """Return the way of this kind that is long enough; `us`: what the shortlist costs, whatever its length."""
        ways = (self._split(method, asked, coarse, us, forest, share) for share in SHARES)
        return preferred(ways, self.target)

    def _split(
        self, method: str, asked: Parameters, coarse: Places, us: float, forest: Forest | None, share: float
    ) -> Way:
        candidates = enough(self._fine, 1 - (1 - self.target) * share, CANDIDATES)
        chosen = self._fine < candidates
        shortlist = max(enough(np.where(chosen, coarse, np.inf), self.target, SHORTLIST), candidates)
        recall = float(((coarse < shortlist) & chosen).mean())
        parameters = replace(asked, reduced_dimension=REDUCED, shortlist=shortlist, candidates=candidates)
        cost_us = us + REDUCED * PRODUCT_US + shortlist * SHORTLISTED_US + candidates * CANDIDATE_US
        return Way(method, parameters, recall, len(self.sample.queries), cost_us, forest)


def choose(
    vectors: Vectors,
    reduction: Reduction,
    products: Vectors,
    *,
    target: float,
    method: str | None,
    seed: int,
) -> Way:
    """Return the cheapest way that reaches `target` with some to spare, or the one that finds most where none does.

    `vectors` [n, 4096], n at least FEWEST_PICTURES; `products` [n, REDUCED]: by `reduction`;
    `method` ("scan", "annoy"): only that one.
    """
    aim = 1 - (1 - target) * AIM
    trial, best = Trial(vectors, reduction, products, aim, seed), None
    if method is None and len(vectors) <= MOST_PICTURES_EXACT:
        best = exact_way(len(vectors))
    if method != "annoy":
        best = better(best, _scan_ways(trial), aim)
    if method == "annoy" or (method is None and len(vectors) >= FEWEST_PICTURES_ANNOY):
        best = _try_annoy(best, trial)
    if best is None:
        raise ValueError(f"There is no method {method}.")
    return best


def exact_way(count: int) -> Way:
    """Return the way that compares every one of `count` vectors."""
    return Way("exact", Parameters(), 1.0, 0, count * EXACT_ROW_US)


def better(best: Way | None, ways: Iterable[Way], target: float) -> Way | None:
    """Return what is preferred of `best` and the others; None of none."""
    known = [way for way in (best, *ways) if way is not None]
    return preferred(known, target) if known else None


def preferred(ways: Iterable[Way], target: float) -> Way:
    """Return the cheapest that reaches `target`, or else the one that finds most. Raises ValueError of none."""

    def dislike(way: Way) -> tuple[bool, float]:
        return (False, way.cost_us) if way.recall >= target else (True, -way.recall)

    return min(ways, key=dislike)


def enough(places: Places, aim: float, limits: tuple[int, int]) -> int:
    """Return how many of the first, within `limits` (fewest, most), hold the share `aim` of the true neighbours.

    `places`: for every true neighbour how many come before it (infinite: it is not found at all).
    """
    ordered = np.sort(places, axis=None)
    fewest, most = limits
    return int(min(max(ordered[math.ceil(aim * len(ordered)) - 1] + 1, fewest), most))


def places_in_scan(sample: Sample, queries: Vectors, reduced: Vectors) -> Places:
    """Return [s, 10]: how many of reduced [n, d] are nearer to the queries [s, d] than each true neighbour."""
    places = np.empty(sample.true.shape)
    for start in range(0, len(places), QUERIES_AT_ONCE):
        part = slice(start, start + QUERIES_AT_ONCE)
        scores = queries[part] @ reduced.T
        np.put_along_axis(scores, sample.hidden[part], -np.inf, axis=1)
        for column, true in enumerate(sample.true[part].T):
            places[part, column] = (scores > np.take_along_axis(scores, true[:, None], axis=1)).sum(axis=1)
    return places


def _scan_ways(trial: Trial) -> Iterator[Way]:
    for dimension in COARSE:
        places = places_in_scan(trial.sample, *trial.coarse(dimension))
        us = len(trial.products) * dimension * COARSE_NUMBER_US
        yield trial.way("scan", Parameters(coarse_dimension=dimension), places, us, None)


def _try_annoy(best: Way | None, trial: Trial) -> Way | None:
    for dimension in COARSE:
        known = best.cost_us if best is not None and best.recall >= trial.target else math.inf
        affordable = [search_k for search_k in SEARCH_K if _nodes_us(trial, search_k) < known]
        if affordable:
            best = better(best, _annoy_ways(trial, dimension, affordable), trial.target)
    return best


def _annoy_ways(trial: Trial, dimension: int, search_ks: Sequence[int]) -> Iterator[Way]:
    """Yield what is met on the way to the smallest of `search_ks` that reaches the target, halving them."""
    queries, coarse = trial.coarse(dimension)
    forest = Forest.grow(coarse, TREES, trial.seed)
    while search_ks:
        middle = len(search_ks) // 2
        asked = Parameters(coarse_dimension=dimension, trees=TREES, search_k=search_ks[middle])
        places = _places_in_trees(trial.sample, queries, forest, asked.search_k)
        way = trial.way("annoy", asked, places, _nodes_us(trial, asked.search_k), forest)
        yield way
        search_ks = search_ks[:middle] if way.recall >= trial.target else search_ks[middle + 1 :]


def _nodes_us(trial: Trial, search_k: int) -> float:
    return search_k * (NODE_US + NODE_GROWTH_US * max(0.0, math.log10(len(trial.products) / 10_000)))


def _places_in_trees(sample: Sample, queries: Vectors, forest: Forest, search_k: int) -> Places:
    places = np.full(sample.true.shape, np.inf)
    asked = zip(queries.tolist(), sample.hidden, sample.true, strict=True)
    for number, (query, hidden, true) in enumerate(asked):
        found = forest.nearest(query, SHORTLIST[1] + hidden.size, search_k)
        left = np.setdiff1d(found, hidden, assume_unique=True)  # in the order found
        which, place = np.nonzero(true[:, None] == left)
        places[number, which] = place
    return places
