"""What may be shown of a finished query: never a picture that has been hidden or deleted since."""

import uuid
from dataclasses import dataclass

from gallery.addresses import OfPicture
from gallery.answers import LISTED
from gallery.models import Band, Image, Query

FIELDS = ("id", "title", "label", "width_px", "height_px")
WORDS: dict[Band, str] = {
    "same": "almost the same picture",
    "very_similar": "very similar",
    "similar": "similar",
    "weak": "not much alike",
}


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
    """A match, and its near-duplicates with their cosines.

    `band`: None for matches of versions before; `has_unlisted`: there may be more near-duplicates than these.
    """

    rank: int
    similarity: float
    band: Band | None
    image: Picture
    duplicates: list[tuple[Picture, float]]
    has_unlisted: bool

    @property
    def words(self) -> str:
        """The band in words; nothing without one."""
        return WORDS[self.band] if self.band else ""


def shown(query: Query) -> list[Shown]:
    """The visible matches by rank, in one statement."""
    matches = query.matches or []
    wanted = {image for match in matches for image, _ in [(match["image"], 1.0), *match["duplicates"]]}
    rows = Image.objects.visible().filter(pk__in=wanted).order_by().values_list(*FIELDS) if wanted else ()
    images = {str(row[0]): Picture(*row) for row in rows}
    return [
        Shown(
            rank,
            match["similarity"],
            match.get("band"),
            images[match["image"]],
            [(images[image], similarity) for image, similarity in match["duplicates"] if image in images],
            len(match["duplicates"]) >= LISTED,
        )
        for rank, match in enumerate(matches, start=1)
        if match["image"] in images
    ]
