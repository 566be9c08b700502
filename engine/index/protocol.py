"""What a search needs of an index, whichever engine holds it: Annoy's files or a collection of Milvus."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.images.fingerprints import Fingerprints
from engine.index.ranking import Hits, Rows, Vectors

Ids = NDArray[np.int64]


class Candidates(Protocol):
    """What one query is compared with exactly: first the tuned number of candidates, more of them with `grow`."""

    @property
    def reliable(self) -> int:
        """How many of the best are worth a look."""

    def best(self, k: int) -> Hits:
        """Return the best k of the candidates by their exact cosines."""

    def grow(self) -> None:
        """Compare some times as many candidates."""


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
