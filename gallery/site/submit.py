"""Submit a search from an HTTP request, for pages and API."""

from typing import Any

from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile
from django.core.files.uploadhandler import SkipFile, TemporaryFileUploadHandler
from django.core.handlers.wsgi import LimitedStream, WSGIRequest
from django.http import HttpRequest
from django.http.request import UnreadablePostError
from django.utils.translation import gettext as _

from gallery.errors import OUTCOME, Refusal, no_space
from gallery.models import Query
from gallery.queries import accept, throttle
from gallery.queries.accept import Parameters, Pictures
from gallery.site.middleware import CHUNK_BYTES, RECEIVED
from gallery.timings import Stopwatch

NO_SPACE = "simsearch.no_space"  # a key of request.META: the disk was full while the body was read


class UploadHandler(TemporaryFileUploadHandler):
    """Writes a large upload to the disk. After a full disk `check_space` raises a refusal."""

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Write a chunk to the temporary file; on a full disk the file is skipped."""
        try:
            super().receive_data_chunk(raw_data, start)
        except OSError as error:
            if self.request is not None:
                self.request.META[NO_SPACE] = True
            raise SkipFile from error


def receive(request: HttpRequest) -> "UploadedFile[Any] | None":
    """Return the body of the request as a file on the disk; None where the disk is full, which `check_space` raises."""
    try:
        file = TemporaryUploadedFile("picture", request.content_type or "", 0, None)
        while chunk := request.read(CHUNK_BYTES):
            file.write(chunk)
        file.flush()
    except UnreadablePostError:  # the client is gone; this is an OSError, too
        raise
    except OSError:
        request.META[NO_SPACE] = True
        return None
    file.size = file.tell()
    return file


class ChunkedBody(LimitedStream):
    """A chunked body from gunicorn, read to one byte more than `most_bytes`."""

    def __init__(self, request: WSGIRequest, most_bytes: int) -> None:
        self._input, self._count = request.environ["wsgi.input"], 0
        super().__init__(self._input, most_bytes + 1)
        # Without a length Django reads nothing; with a too large one it reads to the end of the body.
        request.META["CONTENT_LENGTH"] = str(self.limit)
        request._stream = self  # type: ignore[assignment]

    def read(self, size: int | None = -1, /) -> bytes:
        """Read and count bytes."""
        data = super().read(size)
        self._count += len(data)
        return data

    @property
    def is_too_large(self) -> bool:
        """Tell whether the body exceeds the limit."""
        return self._count >= self.limit

    def drain(self, most_bytes: int) -> None:
        """Read on: a client reads no answer before it has sent its body."""
        while most_bytes > 0 and (chunk := self._input.read(min(most_bytes, CHUNK_BYTES))):
            most_bytes -= len(chunk)


def check_space(request: HttpRequest) -> None:
    """Raise Refusal `no_space` when the disk was full while the request was read."""
    if NO_SPACE in request.META:
        raise no_space()


def posted(request: HttpRequest) -> Pictures:
    """Return the pictures and the link of a form. Raises Refusal `no_space` or `empty`."""
    check_space(request)
    pictures = Pictures(link=request.POST.get("url", "").strip(), files=request.FILES.getlist("image"))
    if not (pictures.link or pictures.files):
        raise Refusal("empty", _("Choose a picture first."))
    return pictures


def search(request: HttpRequest, pictures: Pictures, parameters: Parameters) -> Query:
    """Store a search as a waiting query.

    Raises Refusal: an upload code, `invalid`, `throttled`, `busy`, `not_found`, `no_space`.
    """
    received: Stopwatch = request.META[RECEIVED]
    check_space(request)
    received.end("parse")
    address = str(request.META.get("REMOTE_ADDR", ""))
    throttle.check(address, pictures.cost)
    received.end("throttle")
    client = throttle.hashed(address)
    try:
        query = accept.store(pictures, parameters, received, client)
    except Refusal as refusal:
        if refusal.code == "too_costly":
            throttle.count_costly(client)
        raise
    request.META[OUTCOME] = "accepted"
    return query
