"""The searchable gallery as one worker process sees it: the active generation, and what is newer than it."""

import itertools
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.errors import BadIndex, OldIndex
from engine.index import Hits, Index
from engine.networks.registry import EMBEDDING_SIZE
from gallery import generations
from gallery.answers import Found
from gallery.models import Embedding, IndexGeneration
from tasks.newer import Ids, Newer, Vectors

logger = logging.getLogger(__name__)

# Asked for beyond k: a few hidden pictures and near-duplicates among the nearest then cost no second search.
SPARE = 20
# With a label more of the nearest fall away; a label that half the gallery has is still served by one search.
SPARE_FOR_LABELS = 200


@dataclass(frozen=True)
class Wanted:
    """One search.

    `k`: how many matches; `labels`: of which labels (none: all); `without`: the asked gallery picture, left out;
    `duplicates_from`: the cosine from which two pictures count as one match (None: each is a match of its own).
    """

    k: int
    labels: tuple[str, ...] = ()
    without: uuid.UUID | None = None
    duplicates_from: float | None = None


@dataclass(frozen=True)
class Candidate:
    """An embedding that may be shown, as a picture with its cosine."""

    embedding: int
    image: uuid.UUID
    similarity: float


class Neighbours:
    """Answers = active generation ∪ exact search over what is newer − hidden and deleted."""

    def __init__(self, network: str) -> None:
        self.network = network
        self.generation: int | None = None
        self.problem = ""
        self.is_outdated = False  # the active generation is whole, but of a version with another format
        self.index: Index | None = None
        self.tried: int | None = None  # the generation that was active when we last looked
        self._newer = Newer(network)
        self._sample: Vectors | None = None

    @property
    def images(self) -> int:
        """How many embeddings a search compares."""
        return len(self._newer.ids) + (len(self.index.ids) if self.index else 0)

    def refresh(self) -> None:
        """Notice a new generation and new embeddings: two cheap queries, before every batch.

        A generation of another network is not for this one: `Worker.follow` changes the network between two batches.
        """
        active = generations.active()
        number = active.number if active else None
        if active is None:
            self.problem = "There is no index yet; every search looks at every picture."
        elif number != self.tried and active.network == self.network:
            self._switch_to(active)
        self.tried = number
        self._newer.top_up()

    def _switch_to(self, active: IndexGeneration) -> None:
        """Open the generation. One that cannot be opened leaves the old one in place, or exact search."""
        try:
            index = Index.open(active.directory, self.network)
        except BadIndex as error:
            self.problem, self.is_outdated = str(error), isinstance(error, OldIndex)
            logger.error("generation %s is not used: %s", active.number, error)  # noqa: TRY400 (one clear line)
            return
        self.index, self.generation, self.problem, self.is_outdated = index, active.number, "", False
        self._newer = Newer(self.network, active.last_embedding, index.ids)
        logger.info("opened generation %s with %s pictures", active.number, len(index.ids))

    # --- Searching ------------------------------------------------------------------------------------------

    def search(self, vectors: Vectors, wanted: Sequence[Wanted]) -> list[list[Found]]:
        """[n, 4096] unit vectors -> for each, min(k, visible pictures) matches, best first."""
        if not len(vectors):
            return []
        self._sample = vectors[-1:]
        depth = max(want.k + (SPARE_FOR_LABELS if want.labels else SPARE) for want in wanted)
        nearest = self._nearest(vectors, depth)
        shown = self._shown({int(id_) for hits in nearest for id_ in hits.ids})
        return [
            self._matches(vector, want, hits, shown)
            for vector, want, hits in zip(vectors, wanted, nearest, strict=True)
        ]

    def _matches(
        self, vector: Vectors, want: Wanted, hits: Hits, shown: dict[int, tuple[uuid.UUID, str]]
    ) -> list[Found]:
        mine = [(id_, *shown[id_]) for id_ in hits.ids.tolist() if id_ in shown]
        allowed = {id_: image for id_, image, label in mine if not want.labels or label in want.labels}
        found = self._grouped(_candidates(hits, allowed, want), want)
        if len(found) == want.k or len(hits.ids) == self.images:
            return found
        # Too much of what is near is hidden, of another label, or the same picture: exact over all that is allowed.
        allowed = self._allowed(want.labels)
        hits = self._among(vector, np.array(sorted(allowed), np.int64))
        return self._grouped(_candidates(hits, allowed, want), want)

    def _nearest(self, vectors: Vectors, k: int) -> list[Hits]:
        newer = self._newer.nearest(vectors, k)
        if self.index is None:
            return newer
        return [_merge(a, b, k) for a, b in zip(self.index.search(vectors, k), newer, strict=True)]

    def _among(self, vector: Vectors, ids: Ids) -> Hits:
        if not len(ids):
            return Hits(ids, np.empty(0, np.float32))
        newer = self._newer.nearest_among(vector, ids, len(ids))
        return newer if self.index is None else _merge(self.index.search_among(vector, ids, len(ids)), newer, len(ids))

    def _shown(self, ids: set[int]) -> dict[int, tuple[uuid.UUID, str]]:
        rows = Embedding.objects.filter(id__in=ids, image__is_hidden=False)
        return {id_: (image, label) for id_, image, label in rows.values_list("id", "image__id", "image__label")}

    def _allowed(self, labels: tuple[str, ...]) -> dict[int, uuid.UUID]:
        rows = Embedding.objects.filter(network=self.network, image__is_hidden=False)
        if labels:
            rows = rows.filter(image__label__in=labels)
        return dict(rows.values_list("id", "image__id"))

    def check_recall(self, k: int = 10) -> tuple[int, int] | None:
        """Compare the last search once more, exactly: how many of the true k the index finds, and k.

        None when there was no search since the last check, or nothing is approximate.
        """
        sample, self._sample = self._sample, None
        if sample is None or self.index is None or self.index.manifest.method == "exact":
            return None
        [found], [true] = self.index.search(sample, k), self.index.exact(sample, k)
        return len(np.intersect1d(found.ids, true.ids)), len(true.ids)

    # --- Near-duplicates ------------------------------------------------------------------------------------

    def _grouped(self, candidates: Sequence[Candidate], want: Wanted) -> list[Found]:
        """The first k, each with those that look the same as it does and come after it."""
        if want.duplicates_from is None:
            return [Found(candidate.image, candidate.similarity) for candidate in candidates[: want.k]]
        leaders: Vectors | None = None
        found: list[Found] = []
        for start in range(0, len(candidates), want.k + SPARE):
            part = candidates[start : start + want.k + SPARE]
            vectors = self._vectors_of(np.array([candidate.embedding for candidate in part], np.int64))
            compared = vectors if leaders is None else np.concatenate((leaders, vectors))
            alike = (vectors @ compared.T >= want.duplicates_from).tolist()  # of each, to which of those compared
            leading = list(range(len(found)))  # the rows of those that lead
            for row, candidate, same in zip(itertools.count(len(found)), part, alike, strict=False):
                first = next((place for place, leader in enumerate(leading) if same[leader]), None)
                if first is not None:
                    found[first].duplicates.append((candidate.image, candidate.similarity))
                elif len(found) < want.k:
                    leading.append(row)
                    found.append(Found(candidate.image, candidate.similarity))
            if len(found) == want.k:
                break
            leaders = compared[leading]
        return found

    def _vectors_of(self, ids: Ids) -> Vectors:
        vectors: Vectors = np.empty((len(ids), EMBEDDING_SIZE), np.float32)
        newer = np.isin(ids, self._newer.ids)
        vectors[newer] = self._newer.vectors_of(ids[newer])
        if self.index is not None:
            vectors[~newer] = self.index.vectors_at(np.searchsorted(self.index.ids, ids[~newer]))
        return vectors


def _candidates(hits: Hits, allowed: dict[int, uuid.UUID], want: Wanted) -> list[Candidate]:
    pairs = zip(hits.ids.tolist(), hits.similarities.tolist(), strict=True)
    shown = [Candidate(id_, allowed[id_], similarity) for id_, similarity in pairs if id_ in allowed]
    return [candidate for candidate in shown if candidate.image != want.without]


def _merge(a: Hits, b: Hits, k: int) -> Hits:
    ids, similarities = np.concatenate([a.ids, b.ids]), np.concatenate([a.similarities, b.similarities])
    best = np.argsort(-similarities, kind="stable")[:k]
    return Hits(ids[best], similarities[best])
