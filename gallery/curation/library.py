"""Add pictures to the gallery, by upload or by command, and remove them."""

import errno
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from gallery.errors import Refusal
from gallery.models import Image
from gallery.queries import uploads, wakeup
from gallery.storage import files
from gallery.storage.files import Stored

if TYPE_CHECKING:
    from gallery.curation.pictures import Encoded  # starts decoders, which the web process does not need


KNOWN_BY_FILE = ("width_px", "height_px", "taken_at", "has_preview")
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
WRITTEN = 4  # of `Image.files`; the last one is the upload that the others are made of


class AlreadyThere(Exception):
    """The gallery has this very file."""

    def __init__(self, image: Image) -> None:
        super().__init__(f"The gallery has this picture already ({image}).")
        self.image = image


def find(content_hash: str) -> Image | None:
    """Return the picture with this content, or None."""
    return Image.objects.filter(content_hash=content_hash).first()


def check_new(file: "UploadedFile[Any]") -> str:
    """Return the content hash of a picture that the gallery does not have yet. Raises Refusal and AlreadyThere."""
    uploads.check(file)
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    file.seek(0)
    if existing := find(digest.hexdigest()):
        raise AlreadyThere(existing)
    return digest.hexdigest()


def upload(image: Image, file: "UploadedFile[Any]") -> None:
    """Save a new row with the uploaded bytes; a gallery worker decodes them, and until then the picture is hidden.

    Raises Refusal (an unusable picture, no room) and AlreadyThere.
    """
    image.content_hash, image.is_pending = check_new(file), True
    image.width_px = image.height_px = 0
    uploads.store(file, image.upload_file)
    _insert(image, image.upload_file)


def keep(image: Image, content_hash: str, encoded: "Encoded", original: bytes | Path) -> None:
    """Save a new row with its files. Raises AlreadyThere (another process was quicker), Refusal (no room), OSError."""
    image.content_hash = content_hash
    try:
        write(image, encoded, original)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise Refusal("no_space", "The disk is full: the picture could not be kept.") from error
    _insert(image, *image.files)


def write(image: Image, encoded: "Encoded", original: bytes | Path) -> None:
    """Write the files of a picture, all or none, and set the fields of its row. Raises OSError."""
    for name in KNOWN_BY_FILE:
        setattr(image, name, getattr(encoded, name))
    image.has_original = settings.SIMSEARCH_KEEP_ORIGINALS
    try:
        files.write(image.picture_file, encoded.picture)
        files.write(image.thumbnail_file, encoded.thumbnail)
        if encoded.preview:
            files.write(image.preview_file, encoded.preview)
        if image.has_original:
            files.write(image.original_file, original)
    except BaseException:
        files.remove(*image.files[:WRITTEN])
        raise


def _insert(image: Image, *stored: Stored) -> None:
    """Save a row whose files exist, and have it embedded. Deletes the files if that fails. Raises AlreadyThere."""
    try:
        with transaction.atomic():  # so that a duplicate leaves an outer transaction usable
            image.save(force_insert=True)
    except BaseException as error:
        files.remove(*stored)
        if isinstance(error, IntegrityError) and (existing := find(image.content_hash)):
            raise AlreadyThere(existing) from error
        raise
    wakeup.wake_workers(wakeup.CURATE)


def remove(images: QuerySet[Image]) -> None:
    """Delete gallery pictures with their files and embeddings; results say that they were removed."""
    images.delete()
    wakeup.wake_workers(wakeup.CURATE)  # the index may now have so many deleted ones that a rebuild pays
