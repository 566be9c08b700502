"""The searchable gallery as one worker process sees it: the active generation, and what is newer than it."""

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import BadIndex
from engine.index import Hits, Index
from engine.models import EMBEDDING_SIZE
from engine.ranking import rank, scan
from gallery.models import Embedding, IndexGeneration

logger = logging.getLogger(__name__)

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]
Matches = list[tuple[uuid.UUID, float]]

# Asked for beyond k, so that a few hidden or deleted pictures among the nearest cost no second search.
SPARE = 20
TOP_UP_ROWS = 2000  # embeddings read at once: 32 MB


@dataclass(frozen=True)
class Wanted:
    """One search: how many matches, of which labels (none: all), and which picture is left out (the asked one)."""

    k: int
    labels: tuple[str, ...] = ()
    without: uuid.UUID | None = None


def to_vectors(blobs: Sequence[bytes | memoryview]) -> Vectors:
    """Stored float16 embeddings -> float32 [n, 4096]."""
    joined = np.frombuffer(b"".join(bytes(blob) for blob in blobs), dtype="<f2")
    return joined.reshape(-1, EMBEDDING_SIZE).astype(np.float32)


class Neighbours:
    """Answers = active generation ∪ exact search over what is newer − hidden and deleted."""

    def __init__(self, network: str) -> None:
        self.network = network
        self.generation: int | None = None
        self.problem = ""
        self._index: Index | None = None
        self._tried: int | None = None
        self._forget_newer(0)

    @property
    def images(self) -> int:
        """How many embeddings a search compares."""
        return len(self._newer_ids) + (len(self._index.ids) if self._index else 0)

    def refresh(self) -> None:
        """Notice a new generation and new embeddings: two cheap queries, before every batch."""
        active = IndexGeneration.objects.filter(is_active=True).first()
        number = active.number if active else None
        if number != self._tried:
            self._tried = number
            self._switch_to(active)
        self._top_up()

    def _switch_to(self, active: IndexGeneration | None) -> None:
        """Open the generation. One that cannot be opened leaves the old one in place, or exact search."""
        if active is None:
            self.problem = "There is no index yet; every search looks at every picture."
            return
        try:
            index = Index.open(Path(active.directory), self.network)
        except BadIndex as error:
            self.problem = str(error)
            logger.error("generation %s is not used: %s", active.number, error)  # noqa: TRY400 (one clear line)
            return
        self._index, self.generation, self.problem = index, active.number, ""
        self._forget_newer(active.last_embedding)
        logger.info("opened generation %s with %s pictures", active.number, len(index.ids))

    def _forget_newer(self, last_embedding: int) -> None:
        self._last_embedding = last_embedding
        self._newer_ids: Ids = np.empty(0, np.int64)
        self._newer: Vectors = np.empty((0, EMBEDDING_SIZE), np.float32)

    def _top_up(self) -> None:
        newest = int(self._newer_ids[-1]) if len(self._newer_ids) else self._last_embedding
        rows = Embedding.objects.filter(network=self.network, id__gt=newest).order_by("id")
        while fresh := list(rows.filter(id__gt=newest).values_list("id", "vector")[:TOP_UP_ROWS]):
            newest = fresh[-1][0]
            self._newer_ids = np.append(self._newer_ids, [id_ for id_, _ in fresh])
            self._newer = np.concatenate([self._newer, to_vectors([blob for _, blob in fresh])])

    # --- Searching ------------------------------------------------------------------------------------------

    def search(self, vectors: Vectors, wanted: Sequence[Wanted]) -> list[Matches]:
        """[n, 4096] unit vectors -> for each, min(k, visible pictures) matches, best first."""
        if not len(vectors):
            return []
        nearest = self._nearest(vectors, max(w.k for w in wanted) + SPARE)
        visible = self._visible({int(id_) for hits in nearest for id_ in hits.ids})
        return [
            self._matches(vector, want, hits, visible)
            for vector, want, hits in zip(vectors, wanted, nearest, strict=True)
        ]

    def _matches(self, vector: Vectors, want: Wanted, hits: Hits, visible: dict[int, uuid.UUID]) -> Matches:
        if not want.labels:
            found = _seen(hits, visible, want)
            if len(found) == want.k:
                return found
        # Either the labels leave a part of the gallery, or too much of what is near is hidden: exact over the rest.
        allowed = self._allowed(want.labels)
        return _seen(self._among(vector, np.array(sorted(allowed), np.int64), want.k + 1), allowed, want)

    def _nearest(self, vectors: Vectors, k: int) -> list[Hits]:
        newer = scan(self._newer, self._newer_ids, vectors, k)
        if self._index is None:
            return newer
        return [_merge(a, b, k) for a, b in zip(self._index.search(vectors, k), newer, strict=True)]

    def _among(self, vector: Vectors, ids: Ids, k: int) -> Hits:
        newer = rank(self._newer, self._newer_ids, vector, np.flatnonzero(np.isin(self._newer_ids, ids)), k)
        return newer if self._index is None else _merge(self._index.search_among(vector, ids, k), newer, k)

    def _visible(self, ids: set[int]) -> dict[int, uuid.UUID]:
        rows = Embedding.objects.filter(id__in=ids, image__is_hidden=False)
        return dict(rows.values_list("id", "image__id"))

    def _allowed(self, labels: tuple[str, ...]) -> dict[int, uuid.UUID]:
        rows = Embedding.objects.filter(network=self.network, image__is_hidden=False)
        if labels:
            rows = rows.filter(image__label__in=labels)
        return dict(rows.values_list("id", "image__id"))


def _seen(hits: Hits, visible: dict[int, uuid.UUID], want: Wanted) -> Matches:
    pairs = zip(hits.ids.tolist(), hits.similarities.tolist(), strict=True)
    found = [(visible[id_], similarity) for id_, similarity in pairs if id_ in visible]
    return [(image, similarity) for image, similarity in found if image != want.without][: want.k]


def _merge(a: Hits, b: Hits, k: int) -> Hits:
    ids, similarities = np.concatenate([a.ids, b.ids]), np.concatenate([a.similarities, b.similarities])
    best = np.argsort(-similarities, kind="stable")[:k]
    return Hits(ids[best], similarities[best])
