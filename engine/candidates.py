"""Two ways to find the pictures worth an exact comparison: a scan of the reduced vectors, and Annoy's trees."""

from pathlib import Path
from typing import Protocol

import numpy as np
from annoy import AnnoyIndex

from engine.ranking import Rows, Vectors, best_rows

QUERIES_AT_ONCE = 32  # 13 MB of scores at 100,000 pictures


class Finder(Protocol):
    """What finds candidates."""

    def rows(self, queries: Vectors, wanted: int) -> list[Rows]:
        """Return for each of the reduced queries [q, d] about `wanted` rows, ascending."""
        ...


class Scan:
    """Compares every reduced vector, [n, d] of unit length. One matrix product; never misses what is near there."""

    def __init__(self, reduced: Vectors) -> None:
        self._reduced = reduced

    def rows(self, queries: Vectors, wanted: int) -> list[Rows]:
        """See Finder; at least `wanted` of them, or all there are."""
        found: list[Rows] = []
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            scores = queries[start : start + QUERIES_AT_ONCE] @ self._reduced.T
            found += [best_rows(row, wanted) for row in scores]
        return found


class Trees:
    """Annoy over reduced vectors of unit length, euclidean: the order of the cosines.

    `search_k`: how many it looks at for `candidates`; in proportion for more.
    """

    def __init__(self, annoy: AnnoyIndex, search_k: int, candidates: int) -> None:
        self._annoy = annoy
        self._search_k = search_k
        self._candidates = candidates

    def rows(self, queries: Vectors, wanted: int) -> list[Rows]:
        """See Finder; Annoy may find fewer."""
        search_k = max(self._search_k, self._search_k * wanted // self._candidates)
        found = (self._annoy.get_nns_by_vector(query, wanted, search_k) for query in queries.tolist())
        return [np.sort(np.array(rows, np.intp)) for rows in found]


def grow_trees(reduced: Vectors, trees: int, seed: int) -> AnnoyIndex:
    """Build Annoy over reduced [n, d]. One thread and a fixed seed: the same trees each time."""
    annoy = AnnoyIndex(reduced.shape[1], "euclidean")
    annoy.set_seed(seed)
    for row, vector in enumerate(reduced):
        annoy.add_item(row, vector.tolist())
    annoy.build(trees, n_jobs=1)
    return annoy


def open_trees(path: Path, dimension: int) -> AnnoyIndex:
    """Map an index.ann into memory. Annoy believes every byte of it: verify the file first. Raises OSError."""
    annoy = AnnoyIndex(dimension, "euclidean")
    annoy.load(str(path))
    return annoy
