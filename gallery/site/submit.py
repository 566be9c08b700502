"""Submit a search from an HTTP request, for the pages and the API alike."""

from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import SkipFile, TemporaryFileUploadHandler
from django.http import HttpRequest

from gallery.errors import OUTCOME
from gallery.models import Image, Query
from gallery.queries import accept, throttle, uploads
from gallery.queries.accept import Parameters
from gallery.site.middleware import RECEIVED
from gallery.timings import Stopwatch

NO_SPACE = "simsearch.no_space"  # a key of request.META: the disk was full while the body was read


class UploadHandler(TemporaryFileUploadHandler):
    """Write a large upload to the disk. A full disk is a refusal, which `check_space` raises, and no error."""

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        try:
            super().receive_data_chunk(raw_data, start)
        except OSError as error:
            if self.request is not None:
                self.request.META[NO_SPACE] = True
            raise SkipFile from error


def check_space(request: HttpRequest) -> None:
    """Raise Refusal `no_space` when the disk was full while the request was read."""
    if NO_SPACE in request.META:
        raise uploads.no_space()


def upload(request: HttpRequest, file: "UploadedFile[Any]", parameters: Parameters) -> Query:
    """Store an uploaded picture as a waiting query. Raises Refusal: an upload code, `throttled`, `busy`, `no_space`."""
    query = accept.store(file, parameters, _admit(request))
    request.META[OUTCOME] = "accepted"
    return query


def more_like(request: HttpRequest, image: Image, parameters: Parameters) -> Query:
    """Store a search for pictures like a gallery picture. Raises Refusal `throttled`, `busy` or `not_found`."""
    query = accept.store_like(image, parameters, _admit(request))
    request.META[OUTCOME] = "accepted"
    return query


def _admit(request: HttpRequest) -> Stopwatch:
    """Check the client's rate limit; return the stopwatch of the request. Raises Refusal."""
    received: Stopwatch = request.META[RECEIVED]
    check_space(request)
    received.end("parse")
    throttle.check(str(request.META.get("REMOTE_ADDR", "")))
    received.end("throttle")
    return received
