"""Asking a question, from the site and from the API alike."""

from datetime import timedelta

from django.http import HttpRequest
from django.utils import timezone

from gallery import queries, throttle, uploads
from gallery.errors import OUTCOME
from gallery.middleware import RECEIVED
from gallery.models import Image, Query
from gallery.queries import Question
from gallery.spans import Stopwatch
from gallery.uploads import Readable

LATE_S = 10


def ask_with_file(request: HttpRequest, file: Readable, question: Question) -> Query:
    """Raises Refusal with one of the upload codes, `throttled`, `busy` or `no_space`."""
    received = _admit(request)
    upload = uploads.accept(file)
    received.end("reencode")
    query = queries.ask(upload, question, received)
    request.META[OUTCOME] = "accepted"
    return query


def ask_like(request: HttpRequest, image: Image, question: Question) -> Query:
    """Raises Refusal `throttled` or `busy`."""
    query = queries.ask_like(image, question, _admit(request))
    request.META[OUTCOME] = "accepted"
    return query


def is_late(query: Query) -> bool:
    """Whether it takes longer than people expect."""
    return timezone.now() - query.created_at > timedelta(seconds=LATE_S)


def _admit(request: HttpRequest) -> Stopwatch:
    """Since when it takes how long. Raises Refusal `throttled`."""
    received: Stopwatch = request.META[RECEIVED]
    received.end("parse")
    throttle.check(str(request.META.get("REMOTE_ADDR", "")))
    received.end("throttle")
    return received
