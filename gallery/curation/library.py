"""Changes of the gallery: pictures in, by upload or by command, and out."""

import hashlib
from typing import TYPE_CHECKING, Any

from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from gallery import files
from gallery.errors import Refusal
from gallery.files import Stored
from gallery.models import Image
from gallery.queries import uploads, wakeup

if TYPE_CHECKING:
    from gallery.curation.pictures import Encoded  # starts decoders, which the web process does without


class AlreadyThere(Exception):
    """The gallery has this very file."""

    def __init__(self, image: Image) -> None:
        super().__init__(f"The gallery has this picture already ({image}).")
        self.image = image


def find(content_hash: str) -> Image | None:
    return Image.objects.filter(content_hash=content_hash).first()


def check_new(file: "UploadedFile[Any]") -> str:
    """The content hash of a picture that the gallery does not have yet. Raises Refusal and AlreadyThere."""
    uploads.check(file)
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    file.seek(0)
    if existing := find(digest.hexdigest()):
        raise AlreadyThere(existing)
    return digest.hexdigest()


def upload(image: Image, file: "UploadedFile[Any]") -> None:
    """Save a new row with the uploaded bytes; a gallery worker decodes them, and until then nobody sees the picture.

    Raises Refusal (an unusable picture, no room) and AlreadyThere.
    """
    image.content_hash, image.is_pending = check_new(file), True
    image.width_px = image.height_px = 0
    uploads.store(file, image.upload_file)
    _insert(image, image.upload_file)
    wakeup.wake_workers(wakeup.CURATE)


def keep(image: Image, content_hash: str, encoded: "Encoded") -> None:
    """Save a new row with its files. Raises Refusal (no room) and AlreadyThere (somebody was quicker)."""
    image.content_hash = content_hash
    try:
        write(image, encoded)
    except OSError as error:
        raise Refusal("no_space", "The disk is full: the picture could not be kept.") from error
    _insert(image, image.picture_file, image.thumbnail_file)


def write(image: Image, encoded: "Encoded") -> None:
    """The files of a picture, both or none. Raises OSError."""
    image.width_px, image.height_px = encoded.width_px, encoded.height_px
    try:
        files.write(image.picture_file, encoded.picture)
        files.write(image.thumbnail_file, encoded.thumbnail)
    except BaseException:
        files.remove(image.picture_file, image.thumbnail_file)
        raise


def _insert(image: Image, *stored: Stored) -> None:
    """Save a row whose files are there; without it they go. Raises AlreadyThere."""
    try:
        with transaction.atomic():  # so that a duplicate leaves an outer transaction usable
            image.save(force_insert=True)
    except BaseException as error:
        files.remove(*stored)
        if isinstance(error, IntegrityError) and (existing := find(image.content_hash)):
            raise AlreadyThere(existing) from error
        raise


def remove(images: QuerySet[Image]) -> None:
    """Delete gallery pictures with their files; results no longer show them."""
    images.delete()
