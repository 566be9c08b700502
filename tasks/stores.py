"""Where index generations are kept: in folders as Annoy's files, or in a Milvus server. SIMSEARCH_INDEX chooses."""

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from django.conf import settings

from gallery.models import IndexGeneration

if TYPE_CHECKING:  # the system checks come past here, in the web process too: no numpy
    from engine.images.fingerprints import Fingerprints
    from engine.index.protocol import Ids, SearchIndex
    from engine.index.ranking import Vectors

Blocks: TypeAlias = "Iterator[tuple[Vectors, Fingerprints]]"
Progress = Callable[[str, int, int], None]
MILVUS = "milvus"


@dataclass(frozen=True)
class Source:
    """The embeddings of a build: their `ids`, ascending, and `blocks`, which reads them again at each call."""

    ids: "Ids"
    blocks: "Callable[[], Blocks]"


class Store(Protocol):
    """Every method raises IndexAway where it is a server that does not answer."""

    def write(self, generation: IndexGeneration, source: Source, progress: Progress) -> dict[str, Any]:
        """Write a generation, test it, and return the `manifest` of its row. Raises BadIndex."""

    def open(self, generation: IndexGeneration, network: str | None = None) -> "SearchIndex":
        """Open a generation, of that network where one is given. Raises BadIndex, OldIndex."""

    def is_outdated(self, generation: IndexGeneration) -> bool:
        """Return whether a build would replace a generation that this store or this version cannot open."""

    def problem(self, generation: int) -> str:
        """Say what is wrong with a generation that is in use, if anything."""

    def remove(self, generation: IndexGeneration) -> None:
        """Delete a generation, if it is there."""

    def clean(self, wanted: Set[int]) -> None:
        """Delete all generations but those of these numbers, and what killed builds left."""


@cache
def _store(index: str) -> Store:
    if index == MILVUS:
        from tasks.milvus_store import MilvusStore

        return MilvusStore()
    from tasks.annoy_store import AnnoyStore

    return AnnoyStore()


def chosen() -> Store:
    """Return the store of this installation."""
    return _store(settings.SIMSEARCH_INDEX)
