"""Find similar pictures for embeddings in the active generation and the delta, without hidden and deleted ones."""

import logging
import math
import socket
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import BadIndex, IndexAway, OldIndex
from engine.images.fingerprints import BYTES, Fingerprints
from engine.index.protocol import GROWTH, TUNED_FOR, Candidates, Ids, SearchIndex
from engine.index.ranking import Hits, Vectors, best
from engine.networks.registry import EMBEDDING_SIZE
from gallery.index import generations
from gallery.models import Embedding, IndexGeneration
from gallery.queries.lifecycle import LISTED, Found
from tasks import stores
from tasks.active_model import retired_notice
from tasks.search.delta import Delta
from tasks.search.near_duplicates import Groups, Rule

logger = logging.getLogger(__name__)

# Hits beyond k, so that a few hidden pictures and near-duplicates among them need no second search.
FEW, SPARE = 5, 20  # looked at first; looked at if those are not enough
# With a label filter more hits are left out; for a label that half the gallery has, one search is still enough.
SPARE_FOR_LABELS = 200
GROWTHS = 2  # times that the candidates of the index grow before everything is compared: to 9 times as many
MOST_GROUPED = 20_000  # hits: where even more are near-duplicates of fewer than k pictures, there are fewer matches
LOOKED_UP = LISTED + SPARE  # of a group: a few hidden ones among them do not shorten the list

Visible = dict[int, tuple[uuid.UUID, str]]  # embedding -> its picture and label


@dataclass(frozen=True)
class SearchRequest:
    """What one query asks for.

    `k`: how many matches; `labels`: of which labels (none: all); `without`: gallery pictures to leave out;
    `near_duplicates`: when two pictures count as one match (None: never).
    """

    k: int
    labels: tuple[str, ...] = ()
    without: frozenset[uuid.UUID] = frozenset()
    near_duplicates: Rule | None = None

    @property
    def depth(self) -> int:
        """Return how many hits to look at first."""
        return self.k + (SPARE_FOR_LABELS if self.labels else SPARE)

    @property
    def few(self) -> int:
        """Return how many of them are enough if few are hidden, near-duplicates or of other labels."""
        return self.depth if self.labels else self.k + FEW


class Neighbours:
    """The searchable gallery in one worker process."""

    def __init__(self, model_id: str) -> None:
        self.model_id = model_id
        self.generation: int | None = None
        self.problem = ""
        self.is_outdated = False  # the active generation is whole, but of a version with another format
        self.is_away = False  # the server that holds the index does not answer; searches wait until it does
        self.index: SearchIndex | None = None
        self.tried: int | None = None  # the generation that was active when we last looked
        self._delta = Delta(model_id)
        self._without_index = ""  # the problem that is reported while there is none
        self._sample: Vectors | None = None
        self._sampled_at = -math.inf
        self._indexed = 0  # embeddings of the generation
        self._last = 0  # the highest of them
        self._is_missing = False  # the active generation is still to be fetched by this host
        self._is_synchronised = False  # the index may now have what is in the delta

    @property
    def images(self) -> int:
        """Return how many embeddings a search covers."""
        added = self._delta.ids[self._delta.ids > self._last] if self._is_synchronised else self._delta.ids
        return len(added) + self._indexed

    def refresh(self) -> None:
        """Look for a new generation and new embeddings: two cheap queries, before every batch.

        A generation of another model is ignored: `Worker.follow` changes the model between two batches.
        """
        active = generations.active()
        number = active.number if active else None
        if active is None:
            self._without_index = self._without_index or _without_index(self.model_id)
            self.problem, self.is_away = self._without_index, False
        elif (number != self.tried or self._is_missing) and active.model_id == self.model_id:
            self._switch_to(active)
        elif number == self.generation and active.last_embedding != self._last:
            # Drop from the delta what was added to the index.
            self._indexed, self._last = active.images, active.last_embedding
            self._delta.forget(active.last_embedding)
        if self.is_away:
            return
        self.tried = number
        self._delta.refresh()

    def require(self) -> None:
        """Raise IndexAway while the server that holds the index does not answer."""
        if self.is_away:
            self.refresh()
        if self.is_away:
            raise IndexAway(self.problem)

    def away(self) -> str:
        """Check whether the server of the index answers. Safe in another thread; it changes nothing."""
        index = self.index
        try:
            if index is not None:
                index.ping()
        except IndexAway as error:
            return str(error)
        return self.problem if self.is_away else ""

    def _lose(self, error: IndexAway) -> None:
        if not self.is_away:
            logger.error("searches wait: %s", error)
        self.index, self.generation, self.tried = None, None, None
        self.problem, self.is_away = str(error), True

    def _switch_to(self, active: IndexGeneration) -> None:
        """Open the generation. If it cannot be opened, the old one stays in use, or exact search.

        One that this host has to fetch first is not waited for.
        """
        self._is_missing = not stores.chosen().is_here(active)
        if self._is_missing:
            self.problem, self.is_outdated = f"{active} is not on the host {socket.gethostname()} yet.", False
            return
        try:
            index = stores.chosen().open(active)
        except IndexAway as error:
            self._lose(error)
            return
        except BadIndex as error:
            self.problem, self.is_outdated = str(error), isinstance(error, OldIndex)
            logger.error("generation %s is not used: %s", active.number, error)  # noqa: TRY400 (one clear line)
            self.is_away = False
            return
        self.index, self.generation, self.problem = index, active.number, ""
        self.is_outdated = self.is_away = False
        self._indexed, self._last = active.images, active.last_embedding
        self._is_synchronised = active.is_synchronised
        # A collection takes in late embeddings; the content of files is known by their ids.
        self._delta = Delta(self.model_id, self._last, None if active.is_synchronised else index.ids)
        logger.info("opened generation %s with %s pictures", active.number, active.images)

    def search(self, vectors: Vectors, requests: Sequence[SearchRequest]) -> list[list[Found]]:
        """Return min(k, visible pictures) matches, best first, for each of vectors [n, 4096] of unit length.

        Raises IndexAway.
        """
        if not len(vectors):
            return []
        if self.is_away:
            raise IndexAway(self.problem)
        try:
            return self._search(vectors, requests)
        except IndexAway as error:
            self._lose(error)
            raise

    def _search(self, vectors: Vectors, requests: Sequence[SearchRequest]) -> list[list[Found]]:
        self._sample = vectors[-1:]
        depth = max(request.depth for request in requests)
        hits = self._delta.nearest(vectors, depth)
        candidates: Sequence[Candidates | None] = [None] * len(vectors)
        if self.index is not None:
            k = max(request.k for request in requests)
            labels = [request.labels for request in requests]
            candidates = found = self.index.candidates(vectors, k, depth=depth, ahead=GROWTH, labels=labels)
            hits = [self._merge(one.best(depth), other, depth) for one, other in zip(found, hits, strict=True)]
        hits = [self._with_relabelled(*query) for query in zip(vectors, requests, hits, strict=True)]
        few = [one.ids[: request.few].tolist() for one, request in zip(hits, requests, strict=True)]
        visible = self._visible(id__in={id_ for ids in few for id_ in ids})
        return [self._matches(*query, visible) for query in zip(vectors, requests, candidates, hits, strict=True)]

    def _with_relabelled(self, vector: Vectors, request: SearchRequest, hits: Hits) -> Hits:
        """Add pictures that now have one of the labels, but still an older one in the collection."""
        if not (request.labels and self._is_synchronised):
            return hits
        rows = Embedding.objects.filter(
            model_id=self.model_id, image__is_relabelled=True, image__label__in=request.labels
        )
        ids = np.setdiff1d(np.fromiter(rows.values_list("id", flat=True), np.int64), hits.ids)
        return _merge(hits, self._among(vector, ids), len(hits.ids) + len(ids)) if len(ids) else hits

    def check_recall(self) -> tuple[int, int] | None:
        """Compare the last search once more, exactly: how many of the true ten the index finds, and of how many.

        None when there was no search since the last check, or the index compares everything.
        """
        if self._sample is None or self.index is None or self.index.is_exact:
            return None
        if time.monotonic() < self._sampled_at + self.index.recall_every_s:
            return None
        sample, self._sample, self._sampled_at = self._sample, None, time.monotonic()
        [found], [true] = self.index.search(sample, TUNED_FOR), self.index.exact(sample, TUNED_FOR)
        return len(np.intersect1d(found.ids, true.ids)), len(true.ids)

    def _matches(
        self, vector: Vectors, request: SearchRequest, candidates: Candidates | None, hits: Hits, visible: Visible
    ) -> list[Found]:
        found = self._best(hits.first(request.few), request, visible)
        if len(found) < request.k and request.few < len(hits.ids):
            found = self._best(hits, request, self._visible(id__in=hits.ids.tolist()))
        if len(found) == request.k or len(hits.ids) == self.images:
            return found
        if candidates is not None and not request.labels:
            for _ in range(GROWTHS):
                candidates.grow()
                depth = candidates.reliable
                more = self._merge(candidates.best(depth), self._delta.nearest(vector[None], depth)[0], depth)
                groups = self._grouped(more, request, request.k + SPARE)
                listed = {id_ for group in groups for id_, _ in group[:LOOKED_UP]}
                found = self._found(groups, request, self._visible(id__in=listed))
                if len(found) == request.k:
                    return found
        # Too many of the nearest are hidden, near-duplicates or of other labels: compare all that may be shown.
        among = {"image__label__in": request.labels} if request.labels else {}
        visible = self._visible(model_id=self.model_id, **among)
        return self._best(self._among(vector, np.array(sorted(visible), np.int64)), request, visible)

    def _best(self, hits: Hits, request: SearchRequest, visible: Visible) -> list[Found]:
        """Return up to k matches among those of the hits that may be shown."""

        def may_be_shown(id_: int) -> bool:
            if id_ not in visible:
                return False
            image, label = visible[id_]
            return image not in request.without and (not request.labels or label in request.labels)

        kept = np.array([may_be_shown(id_) for id_ in hits.ids.tolist()], np.bool_)
        shown = Hits(hits.ids[kept], hits.similarities[kept])
        return self._found(self._grouped(shown, request, request.k), request, visible)

    def _among(self, vector: Vectors, ids: Ids) -> Hits:
        if not len(ids):
            return Hits(ids, np.empty(0, np.float32))
        delta = self._delta.nearest_among(vector, ids, len(ids))
        if self.index is None:
            return delta
        return self._merge(self.index.search_among(vector, ids, len(ids)), delta, len(ids))

    def _merge(self, indexed: Hits, delta: Hits, k: int) -> Hits:
        """Return the best k of both. What was added to the index a moment ago may be in either."""
        if self._is_synchronised and len(self._delta.ids):
            only = ~np.isin(indexed.ids, self._delta.ids)
            indexed = Hits(indexed.ids[only], indexed.similarities[only])
        return _merge(indexed, delta, k)

    def _grouped(self, hits: Hits, request: SearchRequest, count: int) -> list[list[tuple[int, float]]]:
        """Return up to `count` groups of near-duplicates, best first."""
        groups = Groups(count, request.near_duplicates, self._stored)
        groups.add(Hits(hits.ids[:MOST_GROUPED], hits.similarities[:MOST_GROUPED]))
        return groups.members

    def _found(self, groups: list[list[tuple[int, float]]], request: SearchRequest, visible: Visible) -> list[Found]:
        """Return up to k matches: of each group the first picture that may be shown, and up to LISTED others."""
        matches: list[Found] = []
        for group in groups:
            shown = [(visible[id_][0], cosine) for id_, cosine in group[:LOOKED_UP] if id_ in visible]
            shown = [pair for pair in shown if pair[0] not in request.without]
            if shown and len(matches) < request.k:
                matches.append(Found(*shown[0], duplicates=shown[1 : LISTED + 1]))
        return matches

    def _visible(self, **which: Any) -> Visible:
        rows = Embedding.objects.filter(image__is_hidden=False, **which)
        return {id_: (image, label) for id_, image, label in rows.values_list("id", "image__id", "image__label")}

    def _stored(self, ids: Ids) -> tuple[Vectors, Fingerprints]:
        """Return vectors [m, 4096] and fingerprints [m, 64] of embeddings."""
        if not len(self._delta.ids) and self.index is not None:
            return self.index.stored(ids)
        vectors: Vectors = np.empty((len(ids), EMBEDDING_SIZE), np.float32)
        marks: Fingerprints = np.empty((len(ids), BYTES), np.uint8)
        added = np.isin(ids, self._delta.ids)
        vectors[added], marks[added] = self._delta.stored(ids[added])
        if self.index is not None:
            vectors[~added], marks[~added] = self.index.stored(ids[~added])
        return vectors, marks


def _without_index(model_id: str) -> str:
    """Return why every search compares every picture."""
    notice = retired_notice()
    if not notice:
        return "There is no index yet; every search compares every picture."
    name = model_id.partition("-")[0]
    problem = f"{notice} Its pictures are embedded with {name} for a new index; searches find those that are."
    logger.warning("%s", problem)
    return problem


def _merge(a: Hits, b: Hits, k: int) -> Hits:
    return best(np.concatenate([a.ids, b.ids]), np.concatenate([a.similarities, b.similarities]), k)
