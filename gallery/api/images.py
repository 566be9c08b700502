"""The gallery in the JSON API: reading is open, writing needs a key."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from django.conf import settings
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.utils.crypto import constant_time_compare
from ninja import File, Form, Query, Router, Status
from ninja.files import UploadedFile
from ninja.security import HttpBearer
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gallery import models
from gallery.api import requests
from gallery.curation import library
from gallery.errors import Refusal
from gallery.models import LONGEST_TITLE
from gallery.results.matches import Picture
from gallery.site import submit
from gallery.text import LONGEST_LABEL

PAGE_SIZE = 100
NO_NUL = r"^[^\x00]*$"  # PostgreSQL text cannot contain NUL, so it is refused for SQLite, too

# Every field of every request has a bound.
Label = Annotated[str, StringConstraints(pattern=NO_NUL, max_length=LONGEST_LABEL)]
Title = Annotated[str, StringConstraints(pattern=NO_NUL, max_length=LONGEST_TITLE)]
Id = Annotated[UUID, Field(json_schema_extra={"maxLength": 36})]
LAST_PAGE = 1_000_000


class Error(BaseModel):
    code: str
    message: str


class Problem(BaseModel):
    error: Error


class ImageOut(BaseModel):
    id: UUID
    url: str
    thumbnail_url: str
    label: str
    title: str


class ImagePage(BaseModel):
    page: int
    pages: int
    count: int
    images: list[ImageOut]


class ImageChange(BaseModel):
    """A change of a picture; fields that are left out stay unchanged.

    Not ninja's Schema, which accepts any JSON value: `[null]` has none of the fields, and would be an empty change.
    """

    model_config = ConfigDict(strict=True)

    label: Label | None = None
    title: Title | None = None
    is_hidden: bool | None = None


class Key(HttpBearer):
    """A bearer token: one of SIMSEARCH_API_KEYS. Where none is set, every token is refused."""

    def authenticate(self, request: HttpRequest, token: str) -> bool:
        """Tell whether the token is one of SIMSEARCH_API_KEYS; where none is set, no token is."""
        return any(constant_time_compare(token, key) for key in settings.SIMSEARCH_API_KEYS)


router = Router()
KEY = Key()


@router.get("", operation_id="gallery_api_images_images", response={200: ImagePage, 422: Problem})
def images(
    request: HttpRequest,
    label: Annotated[str, Query(pattern=NO_NUL, max_length=LONGEST_LABEL)] = "",
    page: Annotated[int, Query(ge=1, le=LAST_PAGE)] = 1,
) -> ImagePage:
    """Return the visible pictures of the gallery, the newest first."""
    if label:
        check_labels([label])
    rows = models.Image.objects.visible()
    pages = Paginator(rows.filter(label=rows.spelled(label)) if label else rows, PAGE_SIZE)
    here = list(pages.page(page).object_list) if page <= pages.num_pages else []
    return ImagePage(page=page, pages=pages.num_pages, count=pages.count, images=[described(row) for row in here])


@router.post(
    "",
    operation_id="gallery_api_images_add",
    auth=KEY,
    response={frozenset({200, 201}): ImageOut, frozenset({401, 413, 415, 422, 507}): Problem},
)
def add(
    request: HttpRequest,
    image: Annotated[UploadedFile, File()],
    label: Annotated[str, Form(pattern=NO_NUL, max_length=LONGEST_LABEL)] = "",
    title: Annotated[str, Form(pattern=NO_NUL, max_length=LONGEST_TITLE)] = "",
) -> Status[Any]:
    """Put a picture into the gallery: 201, or 200 with the picture that is there already when it is this very file.

    It is seen and found as soon as a worker has decoded it. The body may also be the picture itself, as in a search.
    """
    try:
        submit.check_space(request)
        requests.check_one(request)
        added = models.Image(label=label, title=title)
        library.upload(added, image)
    except library.AlreadyThere as known:
        return Status(200, described(known.image))
    return Status(201, described(added))


@router.get("/{uuid:image_id}", operation_id="gallery_api_images_image", response={200: ImageOut, 404: Problem})
def image(request: HttpRequest, image_id: Id) -> ImageOut:
    """Return one visible picture of the gallery."""
    return described(visible(image_id))


@router.patch(
    "/{uuid:image_id}",
    operation_id="gallery_api_images_change",
    auth=KEY,
    response={200: ImageOut, frozenset({401, 404, 422}): Problem},
)
def change(request: HttpRequest, image_id: Id, wanted: ImageChange) -> ImageOut:
    """Give a picture another label or title; hide it, or show it again."""
    rows = models.Image.objects.filter(pk=image_id)
    fields = wanted.model_dump(exclude_none=True)
    if wanted.label:
        fields["label"] = models.Image.objects.exclude(pk=image_id).spelled(wanted.label)
    rows.update(**fields)
    return described(get_object_or_404(rows))


@router.delete(
    "/{uuid:image_id}",
    operation_id="gallery_api_images_remove",
    auth=KEY,
    response={204: None, frozenset({401, 404}): Problem},
)
def remove(request: HttpRequest, image_id: Id) -> Status[None]:
    """Delete a picture of the gallery, with its files; answers that name it lose a match."""
    rows = models.Image.objects.filter(pk=image_id)
    get_object_or_404(rows)
    library.remove(rows)
    return Status(204, None)


def check_labels(wanted: Sequence[str]) -> None:
    """Raise Refusal `invalid` if no visible picture has the label: the client has made a mistake."""
    if not wanted:
        return
    visible = models.Image.objects.visible()
    spelled = visible.all_spelled(wanted)
    known = set(visible.filter(label__in=spelled).order_by().values_list("label", flat=True).distinct())
    for label in spelled:
        if label not in known:
            nearest = visible.nearest_label(label)
            hint = f"; the nearest label is {nearest!r}" if nearest else ""
            raise Refusal("invalid", f"No picture has the label {label!r}{hint}.")


def visible(image_id: UUID | None) -> models.Image:
    """Return the visible picture with this id. Raises Http404."""
    return get_object_or_404(models.Image.objects.visible(), pk=image_id)


def all_visible(image_ids: Sequence[UUID]) -> list[models.Image]:
    """Return the visible pictures with these ids, in this order. Raises Http404 where one of them is missing."""
    if not image_ids:
        return []
    found = models.Image.objects.visible().in_bulk(image_ids)
    if missing := set(image_ids) - found.keys():
        raise Http404(f"no such pictures: {missing}")
    return [found[image_id] for image_id in image_ids]


def described(image: models.Image | Picture) -> ImageOut:
    """Return a picture as the API shows it."""
    return ImageOut(
        id=image.id,
        url=image.picture_url,
        thumbnail_url=image.thumbnail_url,
        label=image.label,
        title=image.title,
    )
