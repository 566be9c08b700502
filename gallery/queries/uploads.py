"""Uploaded bytes: checked by their header, stored where no client can read them, until a worker has decoded them."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _

from engine.errors import BadImage
from engine.images import headers
from engine.images.headers import Limits
from gallery import files
from gallery.errors import Refusal, no_space

# Room on the disk that uploads leave to the database, Redis and the logs.
RESERVED_BYTES = 8 * 2**20


def limits() -> Limits:
    """Return the configured limits of uploads."""
    return Limits(max_bytes=settings.SIMSEARCH_MAX_UPLOAD_BYTES, max_pixels=settings.SIMSEARCH_MAX_PIXELS)


def check(file: "UploadedFile[Any]") -> None:
    """Judge a file by its size and its header. Raises Refusal with one of the upload codes."""
    try:
        headers.check(file, limits())
    except BadImage as error:
        raise Refusal(error.code, _(str(error))) from error


def store(file: "UploadedFile[Any]", path: Path) -> None:
    """Keep the uploaded bytes, readable for our own processes alone. Raises Refusal `no_space`.

    No row names the file yet, so a write that is killed leaves an orphan that `prune` finds.
    """
    try:
        try:
            _store(file, path)
        except FileNotFoundError:  # the first upload into this folder
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _store(file, path)
    except OSError as error:
        files.remove(path)
        raise no_space() from error


def store_fetched(data: bytes, path: Path) -> None:
    """Keep fetched bytes, whole or not at all: their row is there, so another process may look at any moment.

    Raises Refusal `no_space`.
    """
    try:
        files.make_folder(path.parent)
        require_room(path.parent)
        files.write(path, data)
    except OSError as error:
        raise no_space() from error


def require_room(folder: Path) -> None:
    """Raise OSError where what is left of the disk is reserved."""
    if shutil.disk_usage(folder).free < RESERVED_BYTES:
        raise OSError(errno.ENOSPC, "the rest of the disk is reserved")


def _store(file: "UploadedFile[Any]", path: Path) -> None:
    require_room(path.parent)
    if temporary := getattr(file, "temporary_file_path", None):  # large, and on the disk already
        Path(temporary()).rename(path)
        return
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
        for chunk in file.chunks():
            target.write(chunk)


def too_large() -> Refusal:
    """Return the refusal of a file with too many bytes."""
    limit_mb = settings.SIMSEARCH_MAX_UPLOAD_BYTES // 2**20
    return Refusal("too_large", _("The file is larger than %(limit)d MB; send a smaller one.") % {"limit": limit_mb})
