"""What a batch found for its queries."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from gallery.models import Band, Query, StoredMatch

LISTED = 100  # near-duplicates of a match that are named; a burst has hundreds


@dataclass(frozen=True)
class Found:
    """A gallery picture with its cosine and what that means, and up to LISTED near-duplicates with their cosines."""

    image: uuid.UUID
    similarity: float
    duplicates: list[tuple[uuid.UUID, float]] = field(default_factory=list)
    band: Band | None = None

    def stored(self) -> StoredMatch:
        """As it is kept in `Query.matches`."""
        return {
            "image": str(self.image),
            "similarity": self.similarity,
            "band": self.band,
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
