"""Asking a question, from the site and from the API alike."""

from datetime import datetime, timedelta

from django.http import HttpRequest
from django.utils import timezone

from gallery import queries, throttle, uploads
from gallery.errors import OUTCOME
from gallery.middleware import RECEIVED_AT
from gallery.models import Image, Query
from gallery.queries import Question
from gallery.uploads import Readable

# From the age of a query to how long a poll should wait: quick at first, patient later.
FIRST_POLL_MS, LAST_POLL_MS = 150, 2000


def ask_with_file(request: HttpRequest, file: Readable, question: Question) -> Query:
    """Raises Refusal with one of the upload codes, `throttled`, `busy` or `no_space`."""
    throttle.check(_client(request))
    query = queries.ask(uploads.accept(file), question, _received_at(request))
    request.META[OUTCOME] = "accepted"
    return query


def ask_like(request: HttpRequest, image: Image, question: Question) -> Query:
    """Raises Refusal `throttled` or `busy`."""
    throttle.check(_client(request))
    query = queries.ask_like(image, question, _received_at(request))
    request.META[OUTCOME] = "accepted"
    return query


def poll_after_ms(query: Query) -> int:
    """When to look again: a fifth of the query's age, within bounds."""
    age: timedelta = timezone.now() - query.created_at
    return int(min(LAST_POLL_MS, max(FIRST_POLL_MS, age.total_seconds() * 1000 / 5)))


def _received_at(request: HttpRequest) -> datetime:
    received: datetime = request.META[RECEIVED_AT]
    return received


def _client(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))
