"""Where index generations are kept: in folders as Annoy's files, or in a Milvus server. SIMSEARCH_INDEX chooses."""

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from django.conf import settings

from gallery.models import IndexGeneration

if TYPE_CHECKING:  # the system checks import this in the web process, without numpy
    from engine.images.fingerprints import Fingerprints
    from engine.index.protocol import Ids, SearchIndex
    from engine.index.ranking import Vectors

Blocks: TypeAlias = "Iterator[tuple[Vectors, Fingerprints]]"
Progress = Callable[[str, int, int], None]
MILVUS = "milvus"


@dataclass(frozen=True)
class EmbeddingSource:
    """The embeddings of a build: their `ids`, ascending, and `blocks`, which reads them again at each call."""

    ids: "Ids"
    blocks: "Callable[[], Blocks]"


class Store(Protocol):
    """Where index generations are kept. Methods raise IndexAway if the server does not answer."""

    def write(self, generation: IndexGeneration, source: EmbeddingSource, progress: Progress) -> dict[str, Any]:
        """Write a generation, test it, and return the `manifest` of its row. Raises BadIndex."""

    def open(self, generation: IndexGeneration) -> "SearchIndex":
        """Open a generation. Raises BadIndex, OldIndex."""

    def is_here(self, generation: IndexGeneration) -> bool:
        """Tell whether it can be opened at once; False where it has to be fetched from another host's storage."""

    def bring(self, generation: IndexGeneration) -> None:
        """Fetch it if it is not here. Raises BadIndex."""

    def follow(self) -> None:
        """Have each generation that becomes active fetched, by one process of this host."""

    def not_fetched(self) -> tuple[int, str] | None:
        """Return the number of the active generation while this process cannot fetch it, and why."""

    def is_outdated(self, generation: IndexGeneration) -> bool:
        """Return whether a build would replace a generation that this store or this version cannot open."""

    def problem(self, generation: int) -> str:
        """Return the problem of a generation in use, if any."""

    def remove(self, generation: IndexGeneration) -> None:
        """Delete a generation, if it is there."""

    def clean(self, wanted: Set[int]) -> None:
        """Delete all generations but those of these numbers, and what killed builds left."""


@cache
def chosen() -> Store:
    """Return the store of this installation."""
    if settings.SIMSEARCH_INDEX == MILVUS:
        from tasks.stores.milvus_store import MilvusStore

        return MilvusStore()
    from tasks.stores.annoy_store import AnnoyStore

    return AnnoyStore()
