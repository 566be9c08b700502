"""What may be shown of a finished query: never a picture that has been hidden or deleted since."""

import uuid
from dataclasses import dataclass

from gallery.addresses import OfPicture
from gallery.models import Image, Query

FIELDS = ("id", "title", "label", "width_px", "height_px")
OF_MATCH = ("rank", "similarity", "duplicates", *(f"image__{name}" for name in FIELDS))


@dataclass(frozen=True)
class Picture(OfPicture):
    """What is shown of a gallery picture; rows of models would take half as long again."""

    id: uuid.UUID
    title: str
    label: str
    width_px: int
    height_px: int


@dataclass(frozen=True)
class Shown:
    """A match, and the pictures that look the same with their cosines."""

    rank: int
    similarity: float
    image: Picture
    duplicates: list[tuple[Picture, float]]


def shown(query: Query) -> list[Shown]:
    """The visible matches by rank: two queries, the second only where there are near-duplicates."""
    matches = list(query.matches.filter(image__is_hidden=False).values_list(*OF_MATCH))
    wanted = {image for _, _, duplicates, *_ in matches for image, _ in duplicates}
    rows = Image.objects.visible().filter(pk__in=wanted).values_list(*FIELDS) if wanted else ()
    images = {str(row[0]): Picture(*row) for row in rows}
    return [
        Shown(rank, similarity, Picture(*image), [(images[id_], of) for id_, of in duplicates if id_ in images])
        for rank, similarity, duplicates, *image in matches
    ]
