"""What a batch found for its queries."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from gallery.models import Query, StoredMatch


@dataclass(frozen=True)
class Found:
    """A gallery picture with its cosine, and those that look the same with theirs."""

    image: uuid.UUID
    similarity: float
    duplicates: list[tuple[uuid.UUID, float]] = field(default_factory=list)

    def stored(self) -> StoredMatch:
        """As it is kept in `Query.matches`."""
        return {
            "image": str(self.image),
            "similarity": self.similarity,
            "duplicates": [(str(image), round(similarity, 4)) for image, similarity in self.duplicates],
        }


# For each query, best first.
Answers = dict[Query, Sequence[Found]]


@dataclass(frozen=True)
class Searched:
    """What all answers of a batch have in common: among how many images, by which network and index, how long it took.

    `stages_ms`: the time of each stage for the whole batch.
    """

    images: int
    network: str
    generation: int | None
    stages_ms: dict[str, float]
