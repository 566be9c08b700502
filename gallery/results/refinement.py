"""Refine a search: make a new query from the pictures of a finished one, with some added or removed."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from gallery.errors import Refusal
from gallery.models import Image, Query, QueryPart
from gallery.queries.accept import Parameters, Pictures

Row = Query | QueryPart


@dataclass(frozen=True)
class Changes:
    """Changes of a query: ids of gallery pictures to add with either sign, ids of its own rows to remove."""

    like: Sequence[uuid.UUID] = ()
    unlike: Sequence[uuid.UUID] = ()
    without: Collection[uuid.UUID] = ()


@dataclass(frozen=True)
class ShownPart:
    """A picture of a query as its page shows it. `image`: of the gallery; `url`: None while there is no file."""

    id: uuid.UUID
    url: str | None
    image: Image | None
    is_negative: bool
    can_go: bool


def pictures(query: Query, changes: Changes) -> Pictures:
    """Return the pictures of the refined query; those of the gallery that are hidden since are left out.

    Raises Refusal `busy` while the query is not finished: its uploads are not encoded yet.
    """
    if not query.is_finished:
        raise Refusal("busy", _("This search is not finished yet; try again in a moment."), retry_after_s=1)
    rows = [row for row in query.pictures if row.pk not in changes.without]
    signs = {row.gallery_id: not is_negative(row) for row in rows if row.gallery_id}
    signs |= dict.fromkeys(changes.like, True) | dict.fromkeys(changes.unlike, False)
    visible = Image.objects.visible().in_bulk(list(signs))
    return Pictures(
        kept=[row.picture_file for row in rows if row.has_picture],
        like=[visible[id_] for id_, is_positive in signs.items() if is_positive and id_ in visible],
        unlike=[visible[id_] for id_, is_positive in signs.items() if not is_positive and id_ in visible],
    )


def parameters(query: Query, changes: Changes) -> Parameters:
    """Return the parameters of the refined query: the same, without the crop of a picture that is left out."""
    is_there = query.has_picture or (query.like is not None and not query.like.is_hidden)
    is_first_kept = is_there and query.pk not in changes.without and query.gallery_id not in changes.unlike
    crop = tuple(query.crop) if query.crop and is_first_kept else None
    return Parameters(query.k, tuple(query.labels), crop, query.collapse)  # type: ignore[arg-type]  # x, y, w, h


def is_negative(row: Row) -> bool:
    """Return whether matches shall be unlike this picture; the first one is positive."""
    return isinstance(row, QueryPart) and row.is_negative


def shown(query: Query) -> list[ShownPart]:
    """Return the pictures of a query with several; nothing for a query of one picture."""
    if not query.has_parts:
        return []
    rows, parts = query.pictures, []
    positive = sum(not is_negative(row) for row in rows)
    for row in rows:
        image = row.gallery_picture
        if image and image.is_hidden:
            image = None
        url = image.thumbnail_url if image else row.picture_url if row.has_picture else None
        parts.append(ShownPart(row.pk, url, image, is_negative(row), can_go=is_negative(row) or positive > 1))
    return parts
