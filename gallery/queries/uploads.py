"""Uploaded bytes: checked by their header, stored where nobody is served, until a worker has decoded them."""

from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile

from engine.errors import BadImage
from engine.images import headers
from engine.images.headers import Limits
from gallery import files
from gallery.errors import Refusal, no_space
from gallery.files import Stored


def limits() -> Limits:
    return Limits(max_bytes=settings.SIMSEARCH_MAX_UPLOAD_BYTES, max_pixels=settings.SIMSEARCH_MAX_PIXELS)


def check(file: "UploadedFile[Any]") -> None:
    """Judge a file by its size and its header. Raises Refusal with one of the upload codes."""
    try:
        headers.check(file, limits())
    except BadImage as error:
        raise Refusal(error.code, str(error)) from error


def store(file: "UploadedFile[Any]", place: Stored) -> None:
    """Keep the uploaded bytes, readable for our own processes alone. Raises Refusal `no_space` or `busy`."""
    try:
        files.take(place, file)
    except files.StorageAway as error:
        raise Refusal(
            "busy", "The storage of pictures does not answer; try again in a moment.", retry_after_s=5
        ) from error
    except OSError as error:
        files.remove(place)
        raise no_space() from error


def too_large() -> Refusal:
    limit_mb = settings.SIMSEARCH_MAX_UPLOAD_BYTES // 2**20
    return Refusal("too_large", f"The file is larger than {limit_mb} MB; send a smaller one.")
