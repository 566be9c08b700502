"""Vectors parted into cells of near ones that lie side by side, and Annoy's trees over the centres of the cells.

An inverted file (Jégou, Douze and Schmid 2011, section 4) whose coarse quantizer is Annoy: it names the few cells
near a query, and what is in these is compared in the order it lies in memory.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from annoy import AnnoyIndex

from engine.ranking import Rows, Vectors
from engine.reduction import unit

CELLS = 5  # times the square root of the number of pictures: 1,581 cells of 63 at 100,000
TREES = 3  # with more of them a search_k is spent on the same centres several times
COARSE = 96  # dimension; Annoy's leaves hold as many centres as a vector has numbers, so more is not finer
ROUNDS = 5  # of k-means
SAMPLE = 16  # rows for each cell that its centre is learned from
ROWS_AT_ONCE = 4096  # 26 MB of scores at 100,000 pictures


@dataclass(frozen=True)
class Cells:
    """`order` [n]: all rows, cell after cell; `bounds` [c + 1]: where each cell begins in it, and n.

    `annoy`: euclidean over the centres by their first numbers, of unit length: the order of the cosines.
    """

    annoy: AnnoyIndex
    order: Rows
    bounds: list[int]

    @property
    def count(self) -> int:
        """How many cells there are."""
        return len(self.bounds) - 1

    @classmethod
    def draw(cls, vectors: Vectors, seed: int) -> Self:
        """Part vectors [n, d], unit length, by k-means. One thread and a fixed seed: the same cells each time."""
        cells, centres = _k_means(vectors, round(CELLS * math.sqrt(len(vectors))), seed)
        filled, counts = np.unique(cells, return_counts=True)
        order = np.argsort(cells, kind="stable")
        return cls(_plant(centres[filled], seed), order, [0, *np.cumsum(counts).tolist()])

    def nearest(self, query: Vectors, wanted: int, search_k: int) -> list[int]:
        """Return at most `wanted` cells, nearest to query [d] first, of about `search_k` centres looked at.

        `search_k` counts a centre for each tree that it is met in.
        """
        found: list[int] = self.annoy.get_nns_by_vector(query[: self.annoy.f].tolist(), wanted, search_k)
        return found

    def part(self, cell: int) -> slice:
        """Return where a cell lies in `order`."""
        return slice(self.bounds[cell], self.bounds[cell + 1])

    def of_rows(self) -> Rows:
        """Return [n]: the cell that each row is in."""
        cells = np.empty_like(self.order)
        cells[self.order] = np.repeat(np.arange(self.count), np.diff(self.bounds))
        return cells


def open_annoy(path: Path, dimension: int) -> AnnoyIndex:
    """Map an index.ann into memory. Annoy believes every byte of it: verify the file first. Raises OSError."""
    annoy = AnnoyIndex(dimension, "euclidean")
    annoy.load(str(path))
    return annoy


def _plant(centres: Vectors, seed: int) -> AnnoyIndex:
    annoy = AnnoyIndex(COARSE, "euclidean")
    annoy.set_seed(seed)
    for cell, centre in enumerate(unit(centres[:, :COARSE]).tolist()):
        annoy.add_item(cell, centre)
    annoy.build(TREES, n_jobs=1)
    return annoy


def _k_means(vectors: Vectors, count: int, seed: int) -> tuple[Rows, Vectors]:
    """Return the cell of each of vectors [n, d], some perhaps of none, and the centres [count, d], unit length.

    Spherical k-means (Dhillon and Modha 2001): a vector belongs to the centre of the greatest cosine.
    """
    random = np.random.default_rng(seed)
    learned = np.sort(random.choice(len(vectors), min(len(vectors), SAMPLE * count), replace=False))
    sample = vectors[learned]
    centres = sample[random.choice(len(sample), count, replace=False)]
    for _ in range(ROUNDS):
        centres = _means(sample, _nearest_centres(sample, centres), centres)
    cells = _nearest_centres(vectors, centres)
    return cells, _means(vectors, cells, centres)


def _nearest_centres(vectors: Vectors, centres: Vectors) -> Rows:
    starts = range(0, len(vectors), ROWS_AT_ONCE)
    return np.concatenate([(vectors[start : start + ROWS_AT_ONCE] @ centres.T).argmax(axis=1) for start in starts])


def _means(vectors: Vectors, cells: Rows, centres: Vectors) -> Vectors:
    """Return the directions of the means; where a cell is empty its centre stays."""
    filled, counts = np.unique(cells, return_counts=True)
    sums = np.add.reduceat(vectors[np.argsort(cells, kind="stable")], np.cumsum(counts) - counts)
    moved = centres.copy()
    moved[filled] = unit(sums)
    return moved
