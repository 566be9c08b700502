"""Uploaded bytes: checked by their header, stored where no client can read them, until a worker has decoded them."""

from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _

from engine.errors import BadImage
from engine.images import headers
from engine.images.headers import Limits
from gallery.errors import Refusal, no_space
from gallery.storage import files
from gallery.storage.files import Stored


def limits() -> Limits:
    """Return the configured limits of uploads."""
    return Limits(max_bytes=settings.SIMSEARCH_MAX_UPLOAD_BYTES, max_pixels=settings.SIMSEARCH_MAX_PIXELS)


def check(file: "UploadedFile[Any]") -> None:
    """Check the size and the header of a file. Raises Refusal with one of the upload codes."""
    try:
        headers.check(file, limits())
    except BadImage as error:
        raise Refusal(error.code, _(str(error))) from error


def store(file: "UploadedFile[Any]", place: Stored) -> None:
    """Store the uploaded bytes; only our own processes can read them. Raises Refusal `no_space` or `busy`."""
    try:
        files.take(place, file)
    except files.StorageAway as error:
        raise storage_away() from error
    except OSError as error:
        files.remove(place)
        raise no_space() from error


def store_fetched(data: bytes, place: Stored) -> None:
    """Store fetched bytes, whole or not at all: their row exists, so another process may read them at any moment.

    Raises Refusal `no_space`, and files.StorageAway.
    """
    try:
        files.keeper(place.area).require_room()
        files.write(place, data)
    except files.StorageAway:
        raise
    except OSError as error:
        raise no_space() from error


def storage_away() -> Refusal:
    """Return the error for an upload while the storage does not answer."""
    return Refusal("busy", _("The storage of pictures does not answer; try again in a moment."), retry_after_s=5)


def too_large() -> Refusal:
    """Return the error for a file with too many bytes."""
    limit_mb = settings.SIMSEARCH_MAX_UPLOAD_BYTES // 2**20
    return Refusal("too_large", _("The file is larger than %(limit)d MB; send a smaller one.") % {"limit": limit_mb})
