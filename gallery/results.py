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


def compared(query: Query) -> int:
    """How many pictures could have been a match: those that are visible, have one of the labels, and are not asked by.

    Counted when it is shown: pictures added since the answer are left out, and those deleted since are, too.
    """
    images = Image.objects.visible().filter(created_at__lte=query.finished_at or query.created_at)
    if query.labels:
        images = images.filter(label__in=query.labels)
    if query.like_id:
        images = images.exclude(pk=query.like_id)
    return min(images.count(), query.images or 0)


def took_ms(query: Query) -> float:
    """How long the search took from when the upload was received: a slow connection is not our time."""
    timings = query.timings_ms
    return max(0.0, timings.get("total", 0.0) - timings.get("accept", 0.0))
