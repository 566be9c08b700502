"""What a run found for its queries, and the matches as rows."""

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


# For each query, best first.
Answers = dict[Query, Sequence[Found]]


@dataclass(frozen=True)
class Searched:
    """What all answers of a run have in common: among how many images, by which network and index, how long it took.

    `stages_ms`: the time of each stage for the whole batch.
    """

    images: int
    network: str
    generation: int | None
    stages_ms: dict[str, float]


def write_matches(answers: Answers) -> None:
    """Write them for queries that the current transaction has locked and will mark as done."""
    wanted = {match.image for found in answers.values() for match in found}
    # A picture may have been deleted since the search; its row would break the whole batch. One that PostgreSQL loses
    # between here and the commit breaks it all the same, and `persist` comes here again.
    still_there = set(Image.objects.filter(id__in=wanted).values_list("id", flat=True))
    Match.objects.bulk_create(
        Match(
            query_id=query.pk,
            rank=rank,
            similarity=match.similarity,
            image_id=match.image,
            duplicates=[(str(image), round(similarity, 4)) for image, similarity in match.duplicates],
        )
        for query, found in answers.items()
        for rank, match in enumerate((m for m in found if m.image in still_there), start=1)
    )
