"""The interface of an index, for Annoy's files and for collections of Milvus."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.images.fingerprints import Fingerprints
from engine.index.ranking import Hits, Rows, Vectors

Ids = NDArray[np.int64]

TUNED_FOR = 10  # results that the tuned number of candidates is measured for
EXPONENT = 2 / 3  # 100 results need 4.6 times the candidates of 10 (measured: 3 to 5 times for the same recall)
GROWTH = 3  # times as many candidates at each step of Candidates.grow


def times_as_many(k: int) -> float:
    """Return how many times the tuned number of candidates k results need."""
    return max(1.0, float((k / TUNED_FOR) ** EXPONENT))


def candidates_for(tuned: int, k: int, depth: int) -> int:
    """Return how many candidates are needed for k results and `depth` of them to be trusted."""
    return max(round(tuned * times_as_many(k)), 2 * max(k, depth))


class Candidates(Protocol):
    """What one query is compared with exactly: first the tuned number of candidates, more of them with `grow`."""

    @property
    def reliable(self) -> int:
        """How many of the best results can be trusted."""

    def best(self, k: int) -> Hits:
        """Return the best k of the candidates by their exact cosines."""

    def grow(self) -> None:
        """Compare GROWTH times as many candidates."""


class SearchIndex(Protocol):
    """An open generation, searched by vectors [n, 4096] of unit length. For one thread at a time, but for `ping`.

    Every method raises IndexAway where the engine is a server that does not answer.
    """

    recall_every_s: float  # between two checks of `search` against `exact`

    @property
    def ids(self) -> Ids:
        """The embeddings that it holds, ascending."""

    @property
    def components(self) -> Vectors:
        """The principal components [d, 4096] of the pictures it was built of, the largest first."""

    @property
    def is_exact(self) -> bool:
        """Whether a search compares everything."""

    def candidates(
        self, vectors: Vectors, k: int, *, depth: int = 0, ahead: int = 1, labels: Sequence[Sequence[str]] = ()
    ) -> Sequence[Candidates]:
        """Return the candidates for each of the vectors, enough for k results and a look at `depth`.

        `labels`: of each query those that it asks for; an index that knows labels leaves other pictures out.
        """

    def search(self, vectors: Vectors, k: int) -> list[Hits]:
        """Return the k nearest for each of the vectors."""

    def exact(self, vectors: Vectors, k: int) -> list[Hits]:
        """Do the same as `search`: what its recall is measured against."""

    def search_among(self, vector: Vectors, ids: Ids, k: int) -> Hits:
        """Return the k nearest of those `ids` that the index has, for one vector [4096]."""

    def vectors_at(self, rows: Rows) -> Vectors:
        """Return the vectors [m, 4096] of `ids[rows]`."""

    def stored(self, ids: Ids) -> tuple[Vectors, Fingerprints]:
        """Return vectors [m, 4096] and fingerprints [m, 64] of `ids`, all of which the index has."""

    def ping(self) -> None:
        """Raise IndexAway while it cannot be searched. Safe in another thread."""
