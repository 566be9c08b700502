"""The embeddings that the active generation does not contain yet, kept in memory and compared one by one."""

from collections.abc import Sequence

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from engine.networks.registry import EMBEDDING_SIZE
from engine.ranking import Hits, rank, scan
from gallery.models import Embedding

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]

TOP_UP_ROWS = 2000  # embeddings read at once: 32 MB
# PostgreSQL gives out ids before commit: a lower one may become visible after a higher one. SQLite has one writer.
LATE_IDS = 500


def to_vectors(blobs: Sequence[bytes | memoryview]) -> Vectors:
    """Stored float16 embeddings -> float32 [n, 4096]."""
    joined = np.frombuffer(b"".join(bytes(blob) for blob in blobs), dtype="<f2")
    return joined.reshape(-1, EMBEDDING_SIZE).astype(np.float32)


class Newer:
    """Embeddings of one network with an id above `last`, ascending, topped up by one cheap query per batch."""

    def __init__(self, network: str, last: int = 0, indexed: Ids | None = None) -> None:
        self.network = network
        self.ids: Ids = np.empty(0, np.int64)
        self._vectors: Vectors = np.empty((0, EMBEDDING_SIZE), np.float32)
        self._newest = last
        self._indexed = np.empty(0, np.int64) if indexed is None else indexed

    def top_up(self) -> None:
        """Read what was embedded since the last time."""
        late = 0 if connection.vendor == "sqlite" else LATE_IDS
        rows = Embedding.objects.filter(network=self.network, id__gt=self._newest - late).order_by("id")
        known = np.concatenate([self._indexed[-2 * late :] if late else self._indexed[:0], self.ids])
        fresh = np.setdiff1d(np.fromiter(rows.values_list("id", flat=True), np.int64), known)
        for start in range(0, len(fresh), TOP_UP_ROWS):
            self._take(fresh[start : start + TOP_UP_ROWS].tolist())

    def _take(self, ids: list[int]) -> None:
        found = list(Embedding.objects.filter(id__in=ids).order_by("id").values_list("id", "vector"))
        self.ids = np.append(self.ids, [id_ for id_, _ in found])
        self._vectors = np.concatenate([self._vectors, to_vectors([blob for _, blob in found])])
        if ids[0] < self._newest:  # late ones; here, so that no search has to sort
            order = np.argsort(self.ids)
            self.ids, self._vectors = self.ids[order], self._vectors[order]
        self._newest = max(self._newest, ids[-1])

    def nearest(self, vectors: Vectors, k: int) -> list[Hits]:
        """The k nearest of all for each of vectors [n, 4096]."""
        return scan(self._vectors, self.ids, vectors, k)

    def nearest_among(self, vector: Vectors, ids: Ids, k: int) -> Hits:
        """The k nearest of those with these ids, for one vector [4096]."""
        return rank(self._vectors, self.ids, vector, np.flatnonzero(np.isin(self.ids, ids)), k)

    def vectors_of(self, ids: Ids) -> Vectors:
        """[m, 4096] in the order of `ids`, all of which are here."""
        return self._vectors[np.searchsorted(self.ids, ids)]
