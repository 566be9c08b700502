"""The matches of a query as they are shown: without pictures that were hidden or deleted since."""

import functools
import itertools
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.utils.translation import gettext_noop

from gallery.addresses import OfPicture
from gallery.models import Band, Image, Query
from gallery.queries.lifecycle import LISTED

FIELDS = ("id", "title", "label", "width_px", "height_px", "taken_at")
WORDS: dict[Band, str] = {
    "same": gettext_noop("almost the same picture"),
    "very_similar": gettext_noop("very similar"),
    "similar": gettext_noop("similar"),
    "weak": gettext_noop("not much alike"),
}


@dataclass(frozen=True)
class Picture(OfPicture):
    """The shown fields of a gallery picture; rows of models would take half as long again."""

    id: uuid.UUID
    title: str
    label: str
    width_px: int
    height_px: int
    taken_at: datetime | None


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
        """Return the band in words; nothing without one."""
        return WORDS[self.band] if self.band else ""


def shown(query: Query, most: int | None = None, among: Collection[str] | None = None) -> list[Shown]:
    """Return the visible ones of the matches, or of the `most` best ones, by rank, in one statement.

    `among`: the ids of pictures, where a filter lets these alone pass.
    """
    ranked = enumerate(query.matches or [], start=1)
    matches = [(rank, match) for rank, match in ranked if among is None or match["image"] in among][:most]
    images = _visible({image for _, match in matches for image, _ in [(match["image"], 1.0), *match["duplicates"]]})
    return [
        Shown(
            rank,
            match["similarity"],
            match.get("band"),
            images[match["image"]],
            [(images[image], similarity) for image, similarity in match["duplicates"] if image in images],
            len(match["duplicates"]) >= LISTED,
        )
        for rank, match in matches
        if match["image"] in images
    ]


def _visible(ids: Collection[str]) -> dict[str, Picture]:
    """Return those of the gallery pictures that may be shown, by their ids."""
    if not ids:
        return {}
    sql, parameters = _select(1 << (len(ids) - 1).bit_length())  # few sizes, so that few statements are cached
    keys = itertools.cycle([_key(uuid.UUID(id_)) for id_ in ids])
    with connection.cursor() as cursor:
        cursor.execute(sql, [next(keys) if is_key else value for value, is_key in parameters])
        rows = cursor.fetchall()
    pictures = [Picture(uuid.UUID(str(id_)), *rest) for id_, *rest in rows]  # SQLite keeps ids as hexadecimal digits
    return {str(picture.id): picture for picture in pictures}


@functools.cache
def _select(count: int) -> tuple[str, list[tuple[Any, bool]]]:
    """Return the statement for `count` ids, and each of its parameters with whether it stands for an id.

    Every finished search is polled, and Django takes four times as long to compile this as the database to answer.
    """
    ids = [uuid.UUID(int=n) for n in range(count)]
    rows = Image.objects.visible().filter(pk__in=ids).order_by().values_list(*FIELDS)
    sql, parameters = rows.query.sql_with_params()
    keys = {_key(id_) for id_ in ids}
    return sql, [(value, value in keys) for value in parameters]


def _key(id_: uuid.UUID) -> Any:
    return Image._meta.pk.get_db_prep_value(id_, connection)


def compared(query: Query) -> int:
    """Return how many pictures could have been a match: visible, of one of the labels, and not the query itself.

    Counted when it is shown: pictures added since the answer are left out, and those deleted since are, too.
    """
    images = Image.objects.visible().filter(created_at__lte=query.finished_at or query.created_at)
    if query.labels:
        images = images.filter(label__in=query.labels)
    if named := query.gallery_ids:
        images = images.exclude(pk__in=named)
    return min(images.count(), query.images or 0)


def took_ms(query: Query) -> float:
    """Return how long the search took after the upload was received, without the time of a slow connection."""
    timings = query.timings_ms
    return max(0.0, timings.get("total", 0.0) - timings.get("accept", 0.0))
