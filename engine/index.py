"""One immutable index generation: checked before it is opened, then searched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
from annoy import AnnoyIndex
from numpy.typing import NDArray

from engine import manifest as manifests
from engine.candidates import Finder, Narrowing, Probes, Scan
from engine.cells import Cells, open_annoy
from engine.errors import BadIndex
from engine.manifest import METRIC, Manifest, refuse
from engine.networks.registry import EMBEDDING_SIZE
from engine.ranking import Hits, Vectors, rank, scan
from engine.reduction import Reduction

__all__ = ["BadIndex", "Hits", "Index", "Manifest"]


class Index:
    """An open generation: `manifest`, and `ids` (int64 [n], ascending).

    Its files stay mapped: the directory may be deleted or renamed meanwhile. For one thread at a time.
    """

    def __init__(
        self,
        manifest: Manifest,
        ids: NDArray[np.int64],
        vectors: Vectors,
        narrowing: Narrowing | None,
    ) -> None:
        self.manifest = manifest
        self.ids = ids
        self._vectors = vectors
        self._narrowing = narrowing

    @classmethod
    def open(
        cls,
        directory: Path,
        network: str | None = None,
        *,
        trees: Callable[[Path, int], AnnoyIndex] = open_annoy,
    ) -> Self:
        """Check every byte of the generation in `directory`, then open it.

        `network`: the identity of the network whose vectors will be asked for (None: any). `trees` opens the
        file of Annoy, which believes every byte, and is called last. Reads all of it: about 1 s per 1.5 GB.
        Raises BadIndex; OldIndex where only the format is another one.
        """
        if not directory.is_dir():
            refuse(directory, "there is no such directory")
        manifest = manifests.read(directory)
        _check_fit(directory, manifest, network)
        try:
            manifests.verify_files(directory, manifest)
            ids, vectors = _open_arrays(directory, manifest)
            return cls(manifest, ids, vectors, _open_narrowing(directory, manifest, trees))
        except (OSError, ValueError, KeyError) as error:
            raise BadIndex(f"The index {directory} cannot be read ({error}); run manage.py build_index.") from error

    def search(self, vectors: Vectors, k: int) -> list[Hits]:
        """Return the most similar pictures for each of vectors [q, 4096], float32 of unit length.

        One Hits per query, of exactly min(k, count) entries: candidates are approximate, cosines are not.
        Raises ValueError for vectors of another shape or not finite, or a k below 1.
        """
        queries, k = self._asked(vectors, k)
        # Rows picked one by one cost three times as much as rows read in order.
        if self._narrowing is None or self._narrowing.candidates(k) * 3 >= len(self.ids):
            return scan(self._vectors, self.ids, queries, k)
        return [
            rank(self._vectors, self.ids, query, rows, k)
            if len(rows) >= k
            else scan(self._vectors, self.ids, query[None], k)[0]
            for query, rows in zip(queries, self._narrowing.rows(queries, k), strict=True)
        ]

    def exact(self, vectors: Vectors, k: int) -> list[Hits]:
        """Do the same as `search` by comparing every picture: what recall is measured against."""
        queries, k = self._asked(vectors, k)
        return scan(self._vectors, self.ids, queries, k)

    def search_among(self, vector: Vectors, ids: NDArray[np.int64], k: int) -> Hits:
        """Return the k best of those `ids` (int64 [m], any order) that the index has, for one vector [4096].

        Exact; ids it does not have are ignored. Raises ValueError as `search` does.
        """
        queries, k = self._asked(vector[None], k)
        return rank(self._vectors, self.ids, queries[0], self._rows(ids), k)

    def vectors_at(self, rows: NDArray[np.intp]) -> Vectors:
        """Return a copy of the vectors [m, 4096] in these rows (their ids are `ids[rows]`)."""
        copied: Vectors = self._vectors[rows]
        return copied

    def _rows(self, ids: NDArray[np.int64]) -> NDArray[np.intp]:
        asked = np.unique(ids)
        rows = np.searchsorted(self.ids, asked)
        rows = rows[rows < len(self.ids)]
        known: NDArray[np.intp] = rows[self.ids[rows] == asked[: len(rows)]]
        return known

    def _asked(self, vectors: Vectors, k: int) -> tuple[Vectors, int]:
        if vectors.ndim != 2 or vectors.shape[1] != EMBEDDING_SIZE:
            raise ValueError(f"Queries have the shape [q, {EMBEDDING_SIZE}], not {list(vectors.shape)}.")
        if k < 1:
            raise ValueError("At least one result must be asked for.")
        if not np.isfinite(vectors).all():
            raise ValueError("A query has numbers that are not finite.")
        return np.ascontiguousarray(vectors, np.float32), min(k, len(self.ids))


def _check_fit(directory: Path, manifest: Manifest, network: str | None) -> None:
    if manifest.metric != METRIC:
        refuse(directory, f"its metric is {manifest.metric} instead of {METRIC}")
    if manifest.dimension != EMBEDDING_SIZE:
        refuse(directory, f"its vectors have {manifest.dimension} numbers instead of {EMBEDDING_SIZE}")
    if network is not None and manifest.network != network:
        raise BadIndex(
            f"The index was made by another network ({manifest.network}); this worker runs {network}; "
            "run manage.py build_index."
        )


def _open_arrays(directory: Path, manifest: Manifest) -> tuple[NDArray[np.int64], Vectors]:
    ids, vectors = _map(directory / "ids.npy"), _map(directory / "vectors.npy")
    if ids.dtype != np.int64 or ids.shape != (manifest.count,) or np.any(ids[1:] <= ids[:-1]):
        refuse(directory, f"ids.npy does not hold {manifest.count} ascending ids")
    if vectors.dtype != np.float32 or vectors.shape != (manifest.count, manifest.dimension):
        refuse(directory, f"vectors.npy does not hold {manifest.count} vectors")
    return ids, vectors


def _open_narrowing(directory: Path, manifest: Manifest, trees: Callable[[Path, int], AnnoyIndex]) -> Narrowing | None:
    if manifest.method == "exact":
        return None
    asked = manifest.parameters
    with np.load(directory / "reduce.npz", allow_pickle=False) as stored:
        reduction = Reduction(stored["basis"])
    if reduction.basis.shape != (asked.reduced_dimension, manifest.dimension):
        refuse(directory, f"reduce.npz does not reduce to {asked.reduced_dimension} numbers")
    return Narrowing(reduction, _open_finder(directory, manifest, trees), asked.candidates)


def _open_finder(directory: Path, manifest: Manifest, trees: Callable[[Path, int], AnnoyIndex]) -> Finder:
    asked = manifest.parameters
    reduced = _open_reduced(directory / "reduced.npy", manifest.count, asked.reduced_dimension)
    if manifest.method == "scan":
        coarse = _open_reduced(directory / "coarse.npy", manifest.count, asked.coarse_dimension)
        return Scan(coarse, reduced, asked.shortlist)
    return Probes(_open_cells(directory, manifest, trees), reduced, asked.probes, asked.search_k)


def _open_reduced(path: Path, count: int, dimension: int) -> Vectors:
    reduced: Vectors = _map(path)
    if reduced.dtype != np.float32 or reduced.shape != (count, dimension):
        refuse(path.parent, f"{path.name} does not hold {count} vectors of {dimension} numbers")
    return reduced


def _open_cells(directory: Path, manifest: Manifest, trees: Callable[[Path, int], AnnoyIndex]) -> Cells:
    asked = manifest.parameters
    order, bounds = _map(directory / "order.npy"), _map(directory / "cells.npy")
    if order.dtype != np.int64 or not np.array_equal(np.sort(order), np.arange(manifest.count)):
        refuse(directory, f"order.npy does not hold {manifest.count} rows, each once")
    if bounds.dtype != np.int64 or bounds.shape != (asked.cells + 1,) or not _parts(bounds, manifest.count):
        refuse(directory, f"cells.npy does not part {manifest.count} pictures into {asked.cells} cells")
    annoy = trees(directory / "index.ann", asked.coarse_dimension)
    if annoy.get_n_items() != asked.cells:
        refuse(directory, f"index.ann does not hold {asked.cells} cells")
    return Cells(annoy, order, bounds.tolist())


def _parts(bounds: NDArray[np.int64], count: int) -> bool:
    return bool(bounds[0] == 0 and bounds[-1] == count and np.all(bounds[1:] > bounds[:-1]))


def _map(path: Path) -> NDArray[Any]:
    # As a plain array: every slice of a np.memmap costs some microseconds of bookkeeping.
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
