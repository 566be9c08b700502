"""Uploaded bytes: checked by their header, stored where nobody is served, until a worker has decoded them."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import SkipFile, TemporaryFileUploadHandler
from django.http import HttpRequest

from engine import image_headers
from engine.errors import BadImage
from engine.image_headers import Limits
from gallery import files
from gallery.errors import Refusal, no_space

# What uploads leave of the disk: room for the database, Redis and the logs to go on.
RESERVED_BYTES = 8 * 2**20
NO_SPACE = "simsearch.no_space"  # a key of request.META: the disk was full while the body was read


class UploadHandler(TemporaryFileUploadHandler):
    """Writes a large upload to the disk. A full disk is a refusal, which `check_space` raises, and no error."""

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        try:
            super().receive_data_chunk(raw_data, start)
        except OSError as error:
            if self.request is not None:
                self.request.META[NO_SPACE] = True
            raise SkipFile from error


def check_space(request: HttpRequest) -> None:
    """Raises Refusal `no_space` when the disk was full while the request was read."""
    if NO_SPACE in request.META:
        raise no_space()


def limits() -> Limits:
    return Limits(max_bytes=settings.SIMSEARCH_MAX_UPLOAD_BYTES, max_pixels=settings.SIMSEARCH_MAX_PIXELS)


def check(file: "UploadedFile[Any]") -> None:
    """Judge a file by its size and its header. Raises Refusal with one of the upload codes."""
    try:
        image_headers.check(file, limits())
    except BadImage as error:
        raise Refusal(error.code, str(error)) from error


def store(file: "UploadedFile[Any]", path: Path) -> None:
    """Keep the uploaded bytes, readable for our own processes alone. Raises Refusal `no_space`.

    No row names the file yet, so a write that is killed leaves an orphan that `prune` finds.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if shutil.disk_usage(path.parent).free < RESERVED_BYTES:
            raise no_space()
        with suppress(AttributeError, OSError):  # on the disk already, if it is large
            Path(file.temporary_file_path()).rename(path)  # type: ignore[attr-defined]
            return
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            for chunk in file.chunks():
                target.write(chunk)
    except OSError as error:
        files.remove(path)
        raise no_space() from error
