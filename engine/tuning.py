"""How a gallery is best searched: ways are tried on its own pictures; the cheapest that finds enough is taken."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.candidates import QUERIES_AT_ONCE
from engine.cells import COARSE as CENTRES
from engine.cells import TREES, Cells
from engine.manifest import Parameters
from engine.ranking import Rows, Vectors, scan
from engine.reduction import Reduction, unit

NEIGHBOURS = 10
SAMPLE = 500  # pictures: 5,000 neighbours to find, so that a recall of 0.9975 is known to about 0.001
AIM = 0.5  # of the misses that the target allows: photographs kept out miss up to twice as much as the sample
SHARES = (0.1, 0.25, 0.5)  # of these, for the choice of candidates; what that is from may have the rest
BLEND = (0.3, 0.5)  # see Sample
REDUCED = 192  # dimension; with 128 twice the candidates are needed at 100,000 pictures, 256 save few
COARSE = (48, 64, 96)
CANDIDATES = (20, 500)  # fewest and most
SHORTLIST = (40, 5000)
FEWEST_PROBES = 4
FEWEST_SEARCH_K = 100
FEWEST_PICTURES = 800  # under this an exact scan takes 0.2 ms (they stay in the cache): nothing pays
FEWEST_PICTURES_ANNOY = 25_000  # under this the scan of coarse vectors is the quicker
MOST_PICTURES_EXACT = 10_000  # over this an exact scan (7 ms) is no way out even where all else misses

# Microseconds on one core of an AMD EPYC (Zen 3); only how they compare matters.
EXACT_ROW_US = 0.7
PRODUCT_US = 0.3  # for each dimension
COARSE_NUMBER_US = 0.0002
SHORTLISTED_US = 0.3
NODE_US = 0.06  # each of search_k
CELL_US = 4.5  # each that is looked into
ROW_US = 0.075  # each in these
CANDIDATE_US = 2.5

METHODS = ("exact", "scan", "annoy")

Places = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Stand-ins for uploads: queries [s, 4096], hidden [s, 2] and true [s, 10] rows.

    An upload is not in the gallery, nor mostly is anything of its series. The gallery's own pictures come
    with their copies and series, and the cells were drawn around them: they are far too easy. So a query is
    a blend of two pictures, which are both left out of the answer; the second has BLEND (from, to) of the
    weight. That is about as hard as photographs kept out.
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
    """One way to search: its measured recall, what a query costs, and the cells where it has some."""

    method: str
    parameters: Parameters
    recall: float
    sample: int
    cost_us: float
    cells: Cells | None = None


class Trial:
    """What all ways have in common: the sample, all pictures reduced, and the recall that is aimed at."""

    def __init__(self, sample: Sample, queries: Vectors, reduced: Vectors, aim: float) -> None:
        self.sample = sample
        self.queries = queries
        self.reduced = reduced
        self.aim = aim
        self._places = places_in_scan(sample, queries, reduced)

    def candidates(self, share: float) -> tuple[int, NDArray[np.bool_]]:
        """Return how many to compare exactly if that may miss this share, and which true ones are among them."""
        candidates = enough(self._places, 1 - (1 - self.aim) * share, CANDIDATES)
        return candidates, self._places < candidates

    def way(self, asked: Parameters, found: NDArray[np.bool_], us: float, cells: Cells | None = None) -> Way:
        """Return the way that finds these of the true ones; `us`: what it takes up to the candidates."""
        cost_us = us + REDUCED * PRODUCT_US + asked.candidates * CANDIDATE_US
        return Way("annoy" if cells else "scan", asked, float(found.mean()), len(found), cost_us, cells)


def choose(
    vectors: Vectors, reduction: Reduction, reduced: Vectors, *, target: float, method: str | None, seed: int
) -> Way:
    """Return the cheapest way that reaches `target` with some to spare, or the one that finds most where none does.

    `vectors` [n, 4096], n at least FEWEST_PICTURES; `reduced` [n, REDUCED]: by `reduction`, unit length;
    `method` ("scan", "annoy"): only that one.
    """
    sample = Sample.draw(vectors, seed)
    trial = Trial(sample, reduction.products(sample.queries), reduced, 1 - (1 - target) * AIM)
    ways: list[Way] = []
    if method is None and len(vectors) <= MOST_PICTURES_EXACT:
        ways.append(exact_way(len(vectors)))
    if (method or _usual(len(vectors))) == "scan":
        ways += _scan_ways(trial)
    else:
        ways += _cell_ways(trial, Cells.draw(reduced, seed))
    return preferred(ways, trial.aim)


def _usual(count: int) -> str:
    return "scan" if count < FEWEST_PICTURES_ANNOY else "annoy"


def exact_way(count: int) -> Way:
    """Return the way that compares every one of `count` vectors."""
    return Way("exact", Parameters(), 1.0, 0, count * EXACT_ROW_US)


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
        places = places_in_scan(trial.sample, trial.queries[:, :dimension], unit(trial.reduced[:, :dimension]))
        us = len(trial.reduced) * dimension * COARSE_NUMBER_US
        for share in SHARES:
            candidates, chosen = trial.candidates(share)
            shortlist = max(enough(np.where(chosen, places, np.inf), trial.aim, SHORTLIST), candidates)
            asked = Parameters(REDUCED, dimension, shortlist=shortlist, candidates=candidates)
            yield trial.way(asked, chosen & (places < shortlist), us + shortlist * SHORTLISTED_US)


def _cell_ways(trial: Trial, cells: Cells) -> Iterator[Way]:
    rows = len(cells.order) / cells.count
    for search_k in _search_ks(cells.count):
        places = _places_of_cells(trial, cells, search_k)
        for share in SHARES:
            candidates, chosen = trial.candidates(share)
            probes = enough(np.where(chosen, places, np.inf), trial.aim, (FEWEST_PROBES, cells.count))
            asked = Parameters(REDUCED, CENTRES, 0, cells.count, TREES, search_k, probes, candidates)
            us = search_k * NODE_US + probes * (CELL_US + rows * ROW_US)
            yield trial.way(asked, chosen & (places < probes), us, cells)


def _search_ks(cells: int) -> Iterator[int]:
    """Yield what grows by half until all leaves of all trees are looked at."""
    search_k = FEWEST_SEARCH_K
    while search_k < TREES * cells:
        yield search_k
        search_k += search_k // 2
    yield TREES * cells


def _places_of_cells(trial: Trial, cells: Cells, search_k: int) -> Places:
    """Return [s, 10]: how many cells Annoy finds nearer to the queries than that of each true neighbour."""
    places = np.full((len(trial.queries), cells.count), np.inf)
    for number, query in enumerate(trial.queries):
        found = cells.nearest(query, cells.count, search_k)
        places[number, found] = np.arange(len(found))
    return np.take_along_axis(places, cells.of_rows()[trial.sample.true], axis=1)
