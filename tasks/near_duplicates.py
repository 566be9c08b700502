"""Near-duplicates: hits that come best first become at most k matches, each with those that look the same."""

import uuid
from collections.abc import Callable, Sequence

import numpy as np

from engine.networks.registry import EMBEDDING_SIZE
from gallery.answers import Found
from tasks.delta import Ids, Vectors

ROWS = 64  # vectors compared at a time: 1 MB, which stays in the cache


# A visible hit: its embedding, its picture, its cosine with the query. A plain tuple: there are hundreds in a search.
Hit = tuple[int, uuid.UUID, float]


class Groups:
    """The matches so far. A hit joins the first match whose cosine with it is at least `threshold`, or becomes one.

    `threshold`: None where every hit is a match of its own. `vectors_of`: the vectors [m, 4096] of m embeddings.
    """

    def __init__(self, k: int, threshold: float | None, vectors_of: Callable[[Ids], Vectors]) -> None:
        self.matches: list[Found] = []
        self._k = k
        self._threshold = threshold
        self._vectors_of = vectors_of
        self._firsts: Vectors = np.empty((0, EMBEDDING_SIZE), np.float32)  # of each match

    @property
    def is_full(self) -> bool:
        """Whether there are k matches."""
        return len(self.matches) == self._k

    def add(self, hits: Sequence[Hit]) -> None:
        """Add hits that come after those before, until there are k matches."""
        if self._threshold is None:
            missing = self._k - len(self.matches)
            self.matches += [Found(image, cosine) for _, image, cosine in hits[:missing]]
            return
        for start in range(0, len(hits), ROWS):
            if not self.is_full:
                self._add(hits[start : start + ROWS], self._threshold)

    def _add(self, hits: Sequence[Hit], threshold: float) -> None:
        vectors = self._vectors_of(np.array([embedding for embedding, _, _ in hits], np.int64))
        joins = np.full(len(hits), -1)  # the match that each belongs to
        if len(self._firsts):
            alike = vectors @ self._firsts.T >= threshold
            joins[alike.any(axis=1)] = alike.argmax(axis=1)[alike.any(axis=1)]
        rest = np.flatnonzero(joins == -1)
        firsts: list[int] = []
        if len(rest) and not self.is_full:
            alike = vectors[rest] @ vectors[rest].T >= threshold
            for place, row in enumerate(rest.tolist()):
                if joins[row] == -1 and len(self.matches) < self._k:
                    same = rest[place:][alike[place, place:] & (joins[rest[place:]] == -1)]
                    joins[same] = len(self.matches)
                    joins[row] = -1
                    firsts.append(row)
                    self.matches.append(Found(*hits[row][1:]))
            self._firsts = np.concatenate([self._firsts, vectors[firsts]])
        for row in np.flatnonzero(joins >= 0).tolist():
            self.matches[joins[row]].duplicates.append(hits[row][1:])
