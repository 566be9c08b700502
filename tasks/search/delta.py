"""The delta: embeddings added since the active generation was built, kept in memory and compared exactly."""

from collections.abc import Sequence

import numpy as np
from django.db import connection

from engine.images.fingerprints import BYTES, WITHOUT, Fingerprints, stacked
from engine.index.pca import unit
from engine.index.protocol import Ids
from engine.index.ranking import Hits, Vectors, rank, scan
from engine.networks.registry import EMBEDDING_SIZE
from gallery.models import Embedding

Row = tuple[int, bytes, bytes]

READ_ROWS = 2000  # embeddings read at once: 16 MB, as float32 32 MB


def to_vectors(blobs: Sequence[bytes | memoryview]) -> Vectors:
    """Return stored float16 embeddings as float32 [n, 4096]."""
    joined = np.frombuffer(b"".join(bytes(blob) for blob in blobs), dtype="<f2")
    return joined.reshape(-1, EMBEDDING_SIZE).astype(np.float32)


def to_fingerprints(blobs: Sequence[bytes | memoryview | None]) -> Fingerprints:
    """Return stored fingerprints as uint8 [n, 64]; zeros for none."""
    return stacked([bytes(blob or WITHOUT) for blob in blobs])


def read_rows(ids: Sequence[int]) -> list[Row]:
    """Return id, embedding and fingerprint of the existing ones of `ids`, in the order of the ids."""
    rows = Embedding.objects.filter(id__in=ids).order_by("id").values_list("id", "vector", "fingerprint")
    return [(id_, bytes(vector), bytes(mark or WITHOUT)) for id_, vector, mark in rows]


def late_ids() -> int:
    """Return how far below the highest id new rows may appear.

    PostgreSQL assigns ids before commit: a lower one may become visible after a higher one. SQLite has one writer.
    """
    return 0 if connection.vendor == "sqlite" else 500


class Delta:
    """Embeddings of one model with an id above `last`, ascending. `indexed`: the ids of the generation."""

    def __init__(self, model_id: str, last: int = 0, indexed: Ids | None = None) -> None:
        self.model_id = model_id
        self.ids: Ids = np.empty(0, np.int64)
        self._vectors: Vectors = np.empty((0, EMBEDDING_SIZE), np.float32)
        self._marks: Fingerprints = np.empty((0, BYTES), np.uint8)
        self._newest = last
        self._indexed = np.empty(0, np.int64) if indexed is None else indexed

    def refresh(self) -> None:
        """Read the embeddings added since the last call: one cheap query if there are none."""
        late = late_ids()
        rows = Embedding.objects.filter(model_id=self.model_id, id__gt=self._newest - late).order_by("id")
        known = np.concatenate([self._indexed[-2 * late :] if late else self._indexed[:0], self.ids])
        fresh = np.setdiff1d(np.fromiter(rows.values_list("id", flat=True), np.int64), known)
        for start in range(0, len(fresh), READ_ROWS):
            ids = fresh[start : start + READ_ROWS].tolist()
            found = read_rows(ids)
            self.ids = np.append(self.ids, [id_ for id_, _, _ in found])
            # Of unit length as in the index: a picture's similarity does not change when the index takes it in.
            self._vectors = np.concatenate([self._vectors, unit(to_vectors([blob for _, blob, _ in found]))])
            self._marks = np.concatenate([self._marks, to_fingerprints([mark for _, _, mark in found])])
            if ids[0] < self._newest:  # late ones: sorted once here instead of in every search
                order = np.argsort(self.ids)
                self.ids, self._vectors, self._marks = self.ids[order], self._vectors[order], self._marks[order]
            self._newest = max(self._newest, ids[-1])

    def forget(self, last: int) -> None:
        """Drop the embeddings up to `last`, which the index now has; the last `late_ids` stay."""
        first = int(np.searchsorted(self.ids, last - late_ids(), side="right"))
        self.ids, self._vectors, self._marks = self.ids[first:], self._vectors[first:], self._marks[first:]

    def nearest(self, vectors: Vectors, k: int) -> list[Hits]:
        """Return the k nearest for each of vectors [n, 4096], by comparing all."""
        return scan(self._vectors, self.ids, vectors, k)

    def nearest_among(self, vector: Vectors, ids: Ids, k: int) -> Hits:
        """Return the k nearest of those with these ids for one vector [4096]."""
        return rank(self._vectors, self.ids, vector, np.flatnonzero(np.isin(self.ids, ids)), k)

    def stored(self, ids: Ids) -> tuple[Vectors, Fingerprints]:
        """Return vectors [m, 4096] and fingerprints [m, 64] of `ids`, all of which are in the delta."""
        rows = np.searchsorted(self.ids, ids)
        return self._vectors[rows], self._marks[rows]
