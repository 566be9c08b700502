"""An index generation in a collection of Milvus: HNSW over the PCA for candidates, then exact cosines.

The collection holds 128 numbers of an embedding, a thirtieth of it; the vectors that candidates are ranked by are read
from where they are kept anyway.
"""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from engine.images.fingerprints import Fingerprints
from engine.index.milvus import MOST, ROWS, Milvus, among, of_labels
from engine.index.pca import reduced
from engine.index.protocol import GROWTH, Ids, candidates_for
from engine.index.ranking import Hits, Rows, Vectors, best

WIDER = 16  # times as many candidates in the search that the recall is measured against
AT_HAND = 2000  # pictures that are compared exactly without a search of Milvus: 16 MB of float16

# Returns what is stored of these ids, ascending: ids, vectors of unit length and fingerprints.
Read = Callable[[Ids], tuple[Ids, Vectors, Fingerprints]]


class MilvusCandidates:
    """What one query is compared with exactly: first the tuned number of candidates, more of them with `grow`."""

    def __init__(self, index: "MilvusIndex", query: Vectors, where: str, nearest: Ids, wanted: int) -> None:
        self._index, self._query, self._where = index, query, where
        self._usual = wanted
        self._compare(nearest, wanted)

    @property
    def reliable(self) -> int:
        """How many of the best results can be trusted; the last candidates only serve for comparison."""
        return self._found if self._is_all else max(0, self._found - self._usual // 2)

    def best(self, k: int) -> Hits:
        """Return the best k of the candidates."""
        return best(self._ids, self._similarities, k)

    def grow(self) -> None:
        """Compare GROWTH times as many candidates."""
        if not self._is_all:
            wanted = GROWTH * max(self._found, self._usual)
            [nearest] = self._index.nearest(self._query[None], wanted, self._where)
            self._compare(nearest.ids, wanted)

    def _compare(self, nearest: Ids, wanted: int) -> None:
        self._found, self._is_all = len(nearest), len(nearest) < wanted
        self._ids, vectors, _ = self._index.read(np.sort(nearest))
        self._similarities = np.vecdot(vectors, self._query)


class MilvusIndex:
    """An open generation. `count`: how many embeddings it has by now; `usual`: the candidates of ten results.

    `components` [d, 4096]: the PCA. `list_ids`: the ids of all. For one thread at a time, but for `ping`.
    """

    recall_every_s = 60.0  # a check reads some thousand vectors

    def __init__(
        self,
        milvus: Milvus,
        name: str,
        components: Vectors,
        usual: int,
        count: int,
        read: Read,
        list_ids: Callable[[], Ids],
    ) -> None:
        self.name, self.count, self.read = name, count, read
        self.components = components
        self._milvus, self._usual, self._list_ids = milvus, usual, list_ids

    @cached_property
    def ids(self) -> Ids:
        """The embeddings that it holds, ascending; read from the database."""
        return self._list_ids()

    @property
    def is_exact(self) -> bool:
        """Whether a search compares everything."""
        return self.count <= self._usual

    def candidates(
        self, vectors: Vectors, k: int, *, depth: int = 0, ahead: int = 1, labels: Sequence[Sequence[str]] = ()
    ) -> list[MilvusCandidates]:
        """Return the candidates for each of vectors [q, 4096]; `ahead` costs more than it saves here."""
        wanted = candidates_for(self._usual, k, depth)
        filters = [of_labels(some) for some in labels] or [""] * len(vectors)
        found: dict[int, MilvusCandidates] = {}
        for where in dict.fromkeys(filters):
            rows = [row for row, one in enumerate(filters) if one == where]
            for row, hits in zip(rows, self.nearest(vectors[rows], wanted, where), strict=True):
                found[row] = MilvusCandidates(self, vectors[row], where, hits.ids, wanted)
        return [found[row] for row in range(len(vectors))]

    def search(self, vectors: Vectors, k: int) -> list[Hits]:
        """Return the k nearest for each of the vectors."""
        return [one.best(k) for one in self.candidates(vectors, k)]

    def exact(self, vectors: Vectors, k: int) -> list[Hits]:
        """Compare WIDER times as many candidates: almost exact, at a cost that does not grow with the gallery."""
        wanted = WIDER * candidates_for(self._usual, k, 0)
        found = zip(vectors, self.nearest(vectors, wanted), strict=True)
        return [MilvusCandidates(self, query, "", hits.ids, wanted).best(k) for query, hits in found]

    def search_among(self, vector: Vectors, ids: Ids, k: int) -> Hits:
        """Return the k nearest of those `ids` that it has: all of them up to AT_HAND, else of the nearest AT_HAND."""
        ids = np.unique(ids)
        if len(ids) > AT_HAND:
            parts = [ids[start : start + ROWS] for start in range(0, len(ids), ROWS)]
            hits = [self.nearest(vector[None], AT_HAND, among(part))[0] for part in parts]
            found = np.concatenate([one.ids for one in hits])
            order = np.argsort(-np.concatenate([one.similarities for one in hits]), kind="stable")
            ids = np.sort(found[order[:AT_HAND]])
        there, vectors, _ = self.read(ids)
        return best(there, np.vecdot(vectors, vector), k)

    def vectors_at(self, rows: Rows) -> Vectors:
        """Return the vectors [m, 4096] of `ids[rows]`, in their order."""
        return self.stored(self.ids[rows])[0]

    def stored(self, ids: Ids) -> tuple[Vectors, Fingerprints]:
        """Return vectors [m, 4096] and fingerprints [m, 64] of `ids`, all of which are there, in any order."""
        there, vectors, marks = self.read(np.unique(ids))
        rows = np.searchsorted(there, ids)
        return vectors[rows], marks[rows]

    def nearest(self, vectors: Vectors, count: int, where: str = "") -> list[Hits]:
        """Return up to `count` rows for each of vectors [q, 4096], the nearest by the PCA first."""
        return self._milvus.nearest(self.name, reduced(vectors, self.components), min(count, MOST), where)

    def ping(self) -> None:
        """Raise IndexAway while the collection cannot be searched."""
        self._milvus.ping(self.name)
