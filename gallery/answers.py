"""What a run found for a query, and its matches as rows."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from gallery.models import Image, Match, Query


@dataclass(frozen=True)
class Found:
    """A gallery picture with its cosine, and those that look the same with theirs."""

    image: uuid.UUID
    similarity: float
    duplicates: list[tuple[uuid.UUID, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """What a run found for one query, best first."""

    matches: Sequence[Found]
    images: int
    network: str
    generation: int | None
    timings_ms: dict[str, float]


def write_matches(matches: dict[Query, Sequence[Found]]) -> None:
    """Write them for queries that the current transaction has marked as done."""
    wanted = {match.image for found in matches.values() for match in found}
    # A picture may have been deleted since the search; its row would break the whole batch. One that PostgreSQL loses
    # between here and the commit breaks it all the same, and `persist` comes here again.
    still_there = set(Image.objects.filter(id__in=wanted).values_list("id", flat=True))
    Match.objects.bulk_create(
        Match(
            query=query,
            rank=rank,
            similarity=match.similarity,
            image_id=match.image,
            duplicates=[(str(image), round(similarity, 4)) for image, similarity in match.duplicates],
        )
        for query, found in matches.items()
        for rank, match in enumerate((m for m in found if m.image in still_there), start=1)
    )
