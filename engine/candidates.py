"""From all pictures to the few worth an exact comparison: a shortlist by few numbers, the best of it by more."""

from typing import Protocol

import numpy as np

from engine.forest import Forest
from engine.manifest import Parameters
from engine.ranking import Rows, Vectors, best_rows
from engine.reduction import Reduction, unit

QUERIES_AT_ONCE = 32  # 13 MB of scores at 100,000 pictures
TUNED_FOR = 10  # results that the parameters of a manifest are meant for
GROWTH = 2 / 3  # 100 results need 4.6 times the candidates of 10 (measured: 3 to 5 times for the same recall)


class Finder(Protocol):
    """What finds a shortlist."""

    def rows(self, queries: Vectors, wanted: int) -> list[Rows]:
        """Return for each of queries [q, coarse dimension] about `wanted` rows, ascending."""
        ...


class Scan:
    """Compares all of coarse [n, d], unit length: one matrix product that misses nothing."""

    def __init__(self, coarse: Vectors) -> None:
        self._coarse = coarse

    def rows(self, queries: Vectors, wanted: int) -> list[Rows]:
        """See Finder; at least `wanted` of them, or all there are."""
        found: list[Rows] = []
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            scores = queries[start : start + QUERIES_AT_ONCE] @ self._coarse.T
            found += [best_rows(row, wanted) for row in scores]
        return found


class Trees:
    """Asks Annoy's trees. `search_k`: how many it looks at for a `shortlist`; in proportion for a longer one."""

    def __init__(self, forest: Forest, search_k: int, shortlist: int) -> None:
        self._forest = forest
        self._search_k = search_k
        self._shortlist = shortlist

    def rows(self, queries: Vectors, wanted: int) -> list[Rows]:
        """See Finder; Annoy may find fewer."""
        search_k = max(self._search_k, self._search_k * wanted // self._shortlist)
        return [np.sort(self._forest.nearest(query, wanted, search_k)) for query in queries.tolist()]


class Narrowing:
    """Finds candidates for results: a shortlist by `finder`, then the best of it by `reduced` [n, d], unit length."""

    def __init__(self, reduction: Reduction, finder: Finder, reduced: Vectors, parameters: Parameters) -> None:
        self._reduction = reduction
        self._finder = finder
        self._reduced = reduced
        self._parameters = parameters

    def shortlist(self, k: int) -> int:
        """Return how many pictures are looked at for k results."""
        return max(self.candidates(k), _scaled(self._parameters.shortlist, k))

    def candidates(self, k: int) -> int:
        """Return how many are compared exactly for k results."""
        return max(2 * k, _scaled(self._parameters.candidates, k))

    def rows(self, queries: Vectors, k: int) -> list[Rows]:
        """Return for each of queries [q, 4096] the rows, ascending, among which its k nearest are sought."""
        products = self._reduction.products(queries)
        coarse = unit(products[:, : self._parameters.coarse_dimension])
        shortlists = self._finder.rows(coarse, self.shortlist(k))
        return [self._best(query, rows, k) for query, rows in zip(unit(products), shortlists, strict=True)]

    def _best(self, query: Vectors, rows: Rows, k: int) -> Rows:
        best: Rows = rows[best_rows(self._reduced.take(rows, axis=0) @ query, self.candidates(k))]
        return best


def _scaled(usual: int, k: int) -> int:
    more: float = (k / TUNED_FOR) ** GROWTH
    return max(usual, round(usual * more))
