"""One immutable index generation: checked before it is opened, then searched."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from annoy import AnnoyIndex
from numpy.typing import NDArray

from engine.errors import BadIndex
from engine.images.fingerprints import BYTES, Fingerprints
from engine.index import manifest as manifests
from engine.index.manifest import METRIC, Manifest, SearchParameters, refuse
from engine.index.pca import reduced_one
from engine.index.protocol import GROWTH, candidates_for, times_as_many
from engine.index.ranking import Hits, Rows, Vectors, best, cosines, rank, scan
from engine.networks.registry import EMBEDDING_SIZE

# Exact searches read all vectors, of a million pictures 16 GB: no more than one in 100 s then.
CHECKED_A_SECOND = 10_000


def open_annoy(path: Path, dimension: int) -> AnnoyIndex:
    """Map an index.ann into memory. Annoy checks nothing: verify the file first. Raises OSError."""
    annoy = AnnoyIndex(dimension, "euclidean")
    annoy.load(str(path))
    return annoy


def candidate_rows(annoy: AnnoyIndex, query: Vectors, count: int, search_k: int) -> Rows:
    """Return up to `count` rows, nearest first, of about `search_k` entries of Annoy's trees, for query [d]."""
    return np.array(annoy.get_nns_by_vector(query.tolist(), count, search_k), np.intp)


class AnnoyCandidates:
    """What one query is compared with exactly: first the tuned number of candidates, more of them with `grow`."""

    def __init__(
        self,
        vectors: Vectors,
        ids: NDArray[np.int64],
        annoy: AnnoyIndex,
        parameters: SearchParameters,
        query: Vectors,
        short: Vectors,
        k: int,
        depth: int,
        ahead: int,
    ) -> None:
        self._vectors, self._ids, self._annoy = vectors, ids, annoy
        self._query, self._short = query, short
        self._trees = parameters.trees
        self._search_k = round(parameters.search_k * times_as_many(k))
        self._usual = candidates_for(parameters.candidates, k, depth)
        self._nearest = candidate_rows(annoy, short, self._usual * ahead, self._search_k)
        self._rows = np.sort(self._nearest[: self._usual])  # in the order of memory, which is that of the ids
        self._similarities = cosines(vectors, query, self._rows)

    @property
    def compared(self) -> int:
        """Return how many pictures were compared exactly."""
        return len(self._rows)

    @property
    def reliable(self) -> int:
        """Return how many of the best results can be trusted; the last candidates only serve for comparison."""
        return self.compared if self.compared == len(self._ids) else max(0, self.compared - self._usual // 2)

    def best(self, k: int) -> Hits:
        """Return the best k of the candidates; of all pictures, compared exactly, where there are fewer."""
        if self.compared < min(k, len(self._ids)):
            return scan(self._vectors, self._ids, self._query[None], k)[0]
        return best(self._ids[self._rows], self._similarities, k)

    def grow(self) -> None:
        """Compare GROWTH times as many candidates.

        Where Annoy returns too few it is queried again, for GROWTH times as many entries and one for each candidate in
        each tree: near-duplicates lie side by side in every tree and would use up the entries of a smaller search_k.
        """
        count = GROWTH * max(self.compared, self._usual)
        if len(self._nearest) < count:
            self._search_k = GROWTH * self._search_k + self._trees * count
            self._nearest = candidate_rows(self._annoy, self._short, count, self._search_k)
        fresh = np.setdiff1d(self._nearest[:count], self._rows)
        places = np.searchsorted(self._rows, fresh)
        self._rows = np.insert(self._rows, places, fresh)
        self._similarities = np.insert(self._similarities, places, cosines(self._vectors, self._query, fresh))


class Index:
    """An open generation: `manifest`, and `ids` (int64 [n], ascending).

    Its files stay mapped: the directory may be deleted or renamed while it is open. For one thread at a time.
    """

    def __init__(
        self,
        manifest: Manifest,
        ids: NDArray[np.int64],
        vectors: Vectors,
        fingerprints: Fingerprints,
        components: Vectors,
        annoy: AnnoyIndex,
    ) -> None:
        self.manifest = manifest
        self.recall_every_s = float(manifest.count // CHECKED_A_SECOND)
        self.ids = ids
        self._vectors = vectors
        self._fingerprints = fingerprints
        self._components = components
        self._annoy = annoy

    @classmethod
    def open(
        cls,
        directory: Path,
        model_id: str | None = None,
        *,
        open_annoy: Callable[[Path, int], AnnoyIndex] = open_annoy,
    ) -> Self:
        """Check every byte of the generation in `directory`, then open it.

        `model_id`: of the model that embeds the queries (None: any). `open_annoy` opens Annoy's
        file and is called last. Reads all of it: about 1 s per 1.5 GB. Raises BadIndex; OldIndex where only the
        format is another one.
        """
        if not directory.is_dir():
            refuse(directory, "there is no such directory")
        manifest = manifests.read(directory)
        if manifest.metric != METRIC:
            refuse(directory, f"its metric is {manifest.metric} instead of {METRIC}")
        if manifest.dimension != EMBEDDING_SIZE:
            refuse(directory, f"its vectors have {manifest.dimension} numbers instead of {EMBEDDING_SIZE}")
        if model_id is not None and manifest.model_id != model_id:
            raise BadIndex(
                f"The index was made by another model ({manifest.model_id}); this worker runs {model_id}; "
                "run manage.py build_index."
            )
        try:
            manifests.verify_files(directory, manifest)
            arrays = _open_arrays(directory, manifest)
            annoy = open_annoy(directory / "index.ann", manifest.parameters.dimension)
        except (OSError, ValueError) as error:
            raise BadIndex(f"The index {directory} cannot be read ({error}); run manage.py build_index.") from error
        if annoy.get_n_items() != manifest.count:
            refuse(directory, f"index.ann does not hold {manifest.count} vectors")
        return cls(manifest, *arrays, annoy)

    @property
    def components(self) -> Vectors:
        """The principal components [d, 4096] of the pictures it was built of, the largest first."""
        return self._components

    def search(self, vectors: Vectors, k: int) -> list[Hits]:
        """Return the most similar pictures for each of vectors [q, 4096], float32 of unit length.

        One Hits per query, of exactly min(k, n) entries: candidates are approximate, cosines are exact.
        Raises ValueError for vectors of another shape or not finite, or a k below 1.
        """
        return [found.best(k) for found in self.candidates(vectors, k)]

    @property
    def is_exact(self) -> bool:
        """Whether a search compares everything."""
        return self.manifest.is_exact

    def candidates(
        self, vectors: Vectors, k: int, *, depth: int = 0, ahead: int = 1, labels: Sequence[Sequence[str]] = ()
    ) -> "list[AnnoyCandidates]":
        """Return the candidates for each of vectors [q, 4096], enough for k results each.

        Pictures of other labels than `labels` are among them: the files know none.

        `depth`: how many results are looked at; those after the k-th cost no larger search_k. `ahead`: Annoy
        returns so many times as many at once, which makes the first `grow` cheap and costs little. Raises
        ValueError as `search` does.
        """
        queries, k = self._checked(vectors, k)
        parameters = self.manifest.parameters
        return [
            AnnoyCandidates(self._vectors, self.ids, self._annoy, parameters, query, short, k, depth, ahead)
            for query, short in ((query, reduced_one(query, self._components)) for query in queries)
        ]

    def exact(self, vectors: Vectors, k: int) -> list[Hits]:
        """Do the same as `search` by comparing every picture: what recall is measured against."""
        queries, k = self._checked(vectors, k)
        return scan(self._vectors, self.ids, queries, k)

    def search_among(self, vector: Vectors, ids: NDArray[np.int64], k: int) -> Hits:
        """Return the k best of those `ids` (int64 [m], any order) that the index has, for one vector [4096].

        Exact; ids it does not have are ignored. Raises ValueError as `search` does.
        """
        queries, k = self._checked(vector[None], k)
        return rank(self._vectors, self.ids, queries[0], self._rows(ids), k)

    def vectors_at(self, rows: NDArray[np.intp]) -> Vectors:
        """Return a copy of the vectors [m, 4096] in these rows (their ids are `ids[rows]`)."""
        copied: Vectors = self._vectors[rows]
        return copied

    def stored(self, ids: NDArray[np.int64]) -> tuple[Vectors, Fingerprints]:
        """Return copies of the vectors [m, 4096] and the fingerprints [m, 64] of `ids`, all of which it has."""
        rows = np.searchsorted(self.ids, ids)
        return self._vectors[rows], self._fingerprints[rows]

    def ping(self) -> None:
        """Do nothing: files that are mapped do not go away."""

    def _rows(self, ids: NDArray[np.int64]) -> Rows:
        wanted = np.unique(ids)
        rows = np.searchsorted(self.ids, wanted)
        rows = rows[rows < len(self.ids)]
        known: Rows = rows[self.ids[rows] == wanted[: len(rows)]]
        return known

    def _checked(self, vectors: Vectors, k: int) -> tuple[Vectors, int]:
        if vectors.ndim != 2 or vectors.shape[1] != EMBEDDING_SIZE:
            raise ValueError(f"Queries have the shape [q, {EMBEDDING_SIZE}], not {list(vectors.shape)}.")
        if k < 1:
            raise ValueError("A search has at least one result.")
        if not np.isfinite(vectors).all():
            raise ValueError("A query has numbers that are not finite.")
        return np.ascontiguousarray(vectors, np.float32), min(k, len(self.ids))


def _open_arrays(directory: Path, manifest: Manifest) -> tuple[NDArray[np.int64], Vectors, Fingerprints, Vectors]:
    # As plain arrays: every slice of a np.memmap costs some microseconds of bookkeeping.
    ids, vectors, fingerprints, components = (
        np.asarray(np.load(directory / f"{name}.npy", mmap_mode="r", allow_pickle=False))
        for name in ("ids", "vectors", "fingerprints", "pca")
    )
    if ids.dtype != np.int64 or ids.shape != (manifest.count,) or np.any(ids[1:] <= ids[:-1]):
        refuse(directory, f"ids.npy does not hold {manifest.count} ascending ids")
    if vectors.dtype != np.float32 or vectors.shape != (manifest.count, manifest.dimension):
        refuse(directory, f"vectors.npy does not hold {manifest.count} vectors")
    if fingerprints.dtype != np.uint8 or fingerprints.shape != (manifest.count, BYTES):
        refuse(directory, f"fingerprints.npy does not hold {manifest.count} fingerprints")
    dimension = manifest.parameters.dimension
    if components.dtype != np.float32 or components.shape != (dimension, manifest.dimension):
        refuse(directory, f"pca.npy does not reduce to {dimension} numbers")
    return ids, vectors, fingerprints, components
