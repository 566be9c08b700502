"""Uploaded bytes: checked by their header, stored where nobody is served, until a worker has decoded them."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile
from django.core.files.uploadhandler import SkipFile, TemporaryFileUploadHandler
from django.core.handlers.wsgi import LimitedStream, WSGIRequest
from django.http import HttpRequest
from django.http.request import UnreadablePostError

from engine import image_headers
from engine.errors import BadImage
from engine.image_headers import Limits
from gallery import files
from gallery.errors import Refusal

NO_SPACE = "simsearch.no_space"  # a key of request.META: the disk was full while the body was read
CHUNK_BYTES = 2**16


class UploadHandler(TemporaryFileUploadHandler):
    """Writes a large upload to the disk. A full disk is a refusal, which `check_space` raises, and no error."""

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        try:
            super().receive_data_chunk(raw_data, start)
        except OSError as error:
            if self.request is not None:
                self.request.META[NO_SPACE] = True
            raise SkipFile from error


def receive(request: HttpRequest) -> "UploadedFile[Any] | None":
    """The body of the request as a file on the disk; None where the disk is full, which `check_space` raises."""
    try:
        file = TemporaryUploadedFile("picture", request.content_type or "", 0, None)
        while chunk := request.read(CHUNK_BYTES):
            file.write(chunk)
        file.flush()
    except UnreadablePostError:  # the client is gone; an OSError, too
        raise
    except OSError:
        request.META[NO_SPACE] = True
        return None
    file.size = file.tell()
    return file


class ChunkedBody(LimitedStream):
    """A body that comes in chunks, as gunicorn hands it over, read to one byte more than `most_bytes`."""

    def __init__(self, request: WSGIRequest, most_bytes: int) -> None:
        self._input, self._count = request.environ["wsgi.input"], 0
        super().__init__(self._input, most_bytes + 1)
        # Without a length Django reads nothing. It takes the end of the body for its end where the length is too large.
        request.META["CONTENT_LENGTH"] = str(self.limit)
        request._stream = self  # type: ignore[assignment]

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._count += len(data)
        return data

    @property
    def is_too_large(self) -> bool:
        return self._count >= self.limit

    def drain(self, most_bytes: int) -> None:
        """Read on: a client reads no answer before it has sent its body."""
        while most_bytes > 0 and (chunk := self._input.read(min(most_bytes, CHUNK_BYTES))):
            most_bytes -= len(chunk)


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
        with suppress(AttributeError, OSError):  # on the disk already, if it is large
            Path(file.temporary_file_path()).rename(path)  # type: ignore[attr-defined]
            return
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            for chunk in file.chunks():
                target.write(chunk)
    except OSError as error:
        files.remove(path)
        raise no_space() from error


def too_large() -> Refusal:
    limit_mb = settings.SIMSEARCH_MAX_UPLOAD_BYTES // 2**20
    return Refusal("too_large", f"The file is larger than {limit_mb} MB; send a smaller one.")


def no_space() -> Refusal:
    return Refusal("no_space", "The server has no room for another picture right now.")
