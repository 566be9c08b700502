"""What may be shown of a finished query: never a picture that has been hidden or deleted since."""

import functools
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db import connection

from gallery.addresses import OfPicture
from gallery.models import Band, Image, Query
from gallery.queries.answers import LISTED

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
    images = _visible({image for match in matches for image, _ in [(match["image"], 1.0), *match["duplicates"]]})
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


def _visible(ids: Collection[str]) -> dict[str, Picture]:
    """Return those of the gallery pictures that may be shown, by their ids."""
    if not ids:
        return {}
    sql, parameters = _select(len(ids))
    keys = iter([_key(uuid.UUID(id_)) for id_ in ids])
    with connection.cursor() as cursor:
        cursor.execute(sql, [next(keys) if is_key else value for value, is_key in parameters])
        rows = cursor.fetchall()
    pictures = [Picture(uuid.UUID(str(id_)), *rest) for id_, *rest in rows]  # SQLite keeps ids as hexadecimal digits
    return {str(picture.id): picture for picture in pictures}


@functools.cache
def _select(count: int) -> tuple[str, list[tuple[Any, bool]]]:
    """Return the statement for so many ids, and each of its parameters with whether it stands for an id.

    Every finished search is polled, and Django takes four times as long to compile this as the database to answer.
    """
    ids = [uuid.UUID(int=n) for n in range(count)]
    rows = Image.objects.visible().filter(pk__in=ids).order_by().values_list(*FIELDS)
    sql, parameters = rows.query.sql_with_params()
    keys = {_key(id_) for id_ in ids}
    return sql, [(value, value in keys) for value in parameters]


def _key(id_: uuid.UUID) -> Any:
    return Image._meta.pk.get_db_prep_value(id_, connection)
