"""Group hits: a picture and its near-duplicates are one match."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from django.conf import settings
from numpy.typing import ArrayLike, NDArray

from engine.images.fingerprints import BYTES, Fingerprints, agree
from engine.index.protocol import Ids
from engine.index.ranking import Hits, Vectors
from engine.networks.registry import EMBEDDING_SIZE

ROWS = 64  # vectors compared at a time: 1 MB, which stays in the cache
CERTAIN = 0.98  # the cosine from which a fingerprint is not needed; plain areas and older embeddings have none

# From this part of the way between the threshold and 1, pairs may differ in more bits: a line drawing cut by a
# fortieth differs in 73. Among 1,773 photographs this makes no false near-duplicates.
PROBABLE, PROBABLE_BITS = 0.75, 96

Stored = Callable[[Ids], tuple[Vectors, Fingerprints]]  # the vectors [m, 4096] and fingerprints [m, 64] of embeddings


@dataclass(frozen=True)
class Rule:
    """When two pictures are near-duplicates: their cosine is at least `cosine`, and their fingerprints agree.

    `by_cosine_alone`: fingerprints are not looked at.
    """

    cosine: float
    by_cosine_alone: bool = False

    def are_near(
        self, some: Vectors, marks: Fingerprints, others: Vectors, other_marks: Fingerprints
    ) -> NDArray[np.bool_]:
        """Return [n, m] for vectors [n, 4096] and [m, 4096] with their fingerprints."""
        return self.are_copies(marks, other_marks, some @ others.T)

    def are_probable(self, marks: Fingerprints, other_marks: Fingerprints, cosines: ArrayLike) -> NDArray[np.bool_]:
        """Return the same for a person who checks each pair: a high cosine compensates for different details."""
        known = np.asarray(cosines, np.float32)
        is_high = known >= self.cosine + PROBABLE * (1 - self.cosine)
        near = self.are_copies(marks, other_marks, known)
        return near | (is_high & agree(marks, other_marks, PROBABLE_BITS)) if is_high.any() else near

    def are_copies(self, marks: Fingerprints, other_marks: Fingerprints, cosines: ArrayLike) -> NDArray[np.bool_]:
        """Return [n, m] for fingerprints [n, 64] and [m, 64] and the cosines [n, m] of their pictures."""
        known = np.asarray(cosines, np.float32)
        near: NDArray[np.bool_] = known >= self.cosine
        if self.by_cosine_alone or not near.any():
            return near
        return near & ((known >= CERTAIN) | agree(marks, other_marks))


def configured(duplicate: float) -> Rule:
    """Return the rule of a model with this threshold, or that of the setting."""
    if settings.SIMSEARCH_DUPLICATE_SIMILARITY is not None:
        return Rule(settings.SIMSEARCH_DUPLICATE_SIMILARITY, by_cosine_alone=True)
    return Rule(duplicate)


class Groups:
    """Up to `count` groups. A hit joins the first group whose first hit it is a near-duplicate of, or begins one.

    `members`: of each group the hits, best first, as pairs of embedding and cosine.
    """

    def __init__(self, count: int, rule: Rule | None, stored: Stored) -> None:
        self.members: list[list[tuple[int, float]]] = []
        self._count = count
        self._rule = rule
        self._stored = stored
        self._firsts: Vectors = np.empty((0, EMBEDDING_SIZE), np.float32)
        self._first_marks: Fingerprints = np.empty((0, BYTES), np.uint8)

    @property
    def is_full(self) -> bool:
        """Tell whether there are `count` groups."""
        return len(self.members) == self._count

    def add(self, hits: Hits) -> None:
        """Add the next hits, until there are `count` groups."""
        for start in range(0, len(hits.ids), ROWS):
            if self.is_full:
                return
            ids, cosines = hits.ids[start : start + ROWS], hits.similarities[start : start + ROWS]
            pairs = list(zip(ids.tolist(), cosines.tolist(), strict=True))
            if self._rule is None:
                self.members += [[pair] for pair in pairs[: self._count - len(self.members)]]
            else:
                self._add(ids, pairs, self._rule)

    def _add(self, ids: Ids, pairs: list[tuple[int, float]], rule: Rule) -> None:
        vectors, marks = self._stored(ids)
        groups = np.full(len(ids), -1)
        if self.members:
            near = rule.are_near(vectors, marks, self._firsts, self._first_marks)
            groups[near.any(axis=1)] = near.argmax(axis=1)[near.any(axis=1)]
        rest = np.flatnonzero(groups == -1)
        near = rule.are_near(vectors[rest], marks[rest], vectors[rest], marks[rest])
        firsts = []
        for place, row in enumerate(rest.tolist()):
            if groups[row] == -1 and not self.is_full:
                same = rest[place:][near[place, place:] & (groups[rest[place:]] == -1)]
                groups[same] = groups[row] = len(self.members)
                firsts.append(row)
                self.members.append([])
        self._firsts = np.concatenate([self._firsts, vectors[firsts]])
        self._first_marks = np.concatenate([self._first_marks, marks[firsts]])
        for row in np.flatnonzero(groups >= 0).tolist():
            self.members[groups[row]].append(pairs[row])
