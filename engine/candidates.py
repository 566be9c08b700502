"""From all pictures to the few worth an exact comparison, by the few numbers that a reduction leaves of each."""

from typing import Protocol

import numpy as np

from engine.cells import Cells
from engine.ranking import Rows, Vectors, best_rows
from engine.reduction import Reduction

QUERIES_AT_ONCE = 32  # 13 MB of scores at 100,000 pictures
TUNED_FOR = 10  # results that the parameters of a manifest are meant for
GROWTH = 2 / 3  # 100 results need 4.6 times the candidates of 10 (measured: 3 to 5 times for the same recall)


class Finder(Protocol):
    """What finds the best by the reduced vectors. Queries may have any length: it changes no order."""

    def rows(self, queries: Vectors, wanted: int, more: float) -> list[Rows]:
        """Return for each of queries [q, d] `wanted` rows, ascending, and those that tie; or as many as it finds.

        `more`: how many times what it looks at for TUNED_FOR results.
        """
        ...


class Scan:
    """Compares all of coarse [n, c], the best `shortlist` of these by `reduced` [n, d]; both of unit length."""

    def __init__(self, coarse: Vectors, reduced: Vectors, shortlist: int) -> None:
        self._coarse = coarse
        self._reduced = reduced
        self._shortlist = shortlist

    def rows(self, queries: Vectors, wanted: int, more: float) -> list[Rows]:
        """See Finder."""
        shortlist = max(wanted, round(self._shortlist * more))
        found: list[Rows] = []
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            part = queries[start : start + QUERIES_AT_ONCE]
            scores = part[:, : self._coarse.shape[1]] @ self._coarse.T
            for query, row in zip(part, scores, strict=True):
                found.append(self._best(query, best_rows(row, shortlist), wanted))
        return found

    def _best(self, query: Vectors, rows: Rows, wanted: int) -> Rows:
        best: Rows = rows[best_rows(self._reduced.take(rows, axis=0) @ query, wanted)]
        return best


class Probes:
    """Compares what the `probes` nearest cells hold. `reduced` [n, d], unit length, in the order of the cells."""

    def __init__(self, cells: Cells, reduced: Vectors, probes: int, search_k: int) -> None:
        self._cells = cells
        self._reduced = reduced
        self._probes = probes
        self._search_k = search_k

    def rows(self, queries: Vectors, wanted: int, more: float) -> list[Rows]:
        """See Finder."""
        probes, search_k = round(self._probes * more), round(self._search_k * more)
        return [self._best(query, self._cells.nearest(query, probes, search_k), wanted) for query in queries]

    def _best(self, query: Vectors, cells: list[int], wanted: int) -> Rows:
        parts = [self._cells.part(cell) for cell in sorted(cells)]  # in the order of memory
        scores = np.concatenate([np.empty(0, np.float32), *(self._reduced[part] @ query for part in parts)])
        rows = np.concatenate([np.empty(0, np.intp), *(self._cells.order[part] for part in parts)])
        return np.sort(rows[best_rows(scores, wanted)])


class Narrowing:
    """Finds candidates for results; `candidates`: how many for TUNED_FOR of them."""

    def __init__(self, reduction: Reduction, finder: Finder, candidates: int) -> None:
        self._reduction = reduction
        self._finder = finder
        self._candidates = candidates

    def candidates(self, k: int) -> int:
        """Return how many are compared exactly for k results."""
        return max(2 * k, round(self._candidates * _more(k)))

    def rows(self, queries: Vectors, k: int) -> list[Rows]:
        """Return for each of queries [q, 4096] the rows, ascending, among which its k nearest are sought."""
        return self._finder.rows(self._reduction.products(queries), self.candidates(k), _more(k))


def _more(k: int) -> float:
    more: float = max(1.0, (k / TUNED_FOR) ** GROWTH)
    return more
